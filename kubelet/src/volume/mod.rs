//! Volumes: what a pod's containers mount.
//!
//! ```text
//! pod spec ──────────────┐
//! objects (by name) ─────┼─> payload (pure) ─> atomic::write ─┐
//! tokens, certificates ──┘                                    ├─> POD/volumes/... ─> container ─> CRI mounts
//! emptyDir, hostPath, claims ─────────────────> set_up ───────┘
//! ```
//!
//! In: a pod (and ConfigMaps, Secrets, tokens from the API). Out: folders under `/var/lib/kubelet/pods/UID/volumes` and the
//! CRI mounts of each container. Whatever is mounted below a pod's folder is found again in the kernel's mount table, so a
//! kubelet that was killed loses track of nothing.

mod atomic;
mod certificate;
mod claims;
mod container;
mod content;
mod empty_dir;
mod host_path;
mod mounts;
mod nested;
mod objects;
mod ownership;
mod payload;
mod set_up;
mod shared_watch;
mod soon;
mod sub_path;
mod sync;
mod tokens;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use content::{Content, Kind, Missing};
pub use objects::Objects;
pub(crate) use sub_path::read as read_confined;
pub use sync::Volumes;

/// Why a pod's volumes are not ready. The pod waits and tries again; the message becomes a `FailedMount` event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Something is missing that may appear (a ConfigMap, say): `volume` and why.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {reason}")]
    Waiting {
        /// The volume's name in the pod spec.
        volume: String,
        /// What is missing or went wrong.
        reason: String,
    },
    /// A container cannot be made with these mounts (`CreateContainerConfigError`).
    #[error("{0}")]
    Mount(String),
}

/// Where a pod's volumes are on the host.
#[derive(Clone, Debug, Default)]
pub struct PodVolumes {
    /// By volume name.
    pub by_name: BTreeMap<String, HostVolume>,
}

/// One volume on the host.
#[derive(Clone, Debug, Default)]
pub struct HostVolume {
    /// Its folder (or file, for a hostPath).
    pub path: PathBuf,
    /// Read-only whatever the mount says (projected volumes, for example).
    pub read_only: bool,
    /// Ours to label for SELinux.
    pub managed: bool,
    /// An image volume: the runtime mounts this image, which has to be on the node. `path` is empty.
    pub image: Option<String>,
}
