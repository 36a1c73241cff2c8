//! What every part of the kubelet shares: one [`Node`] a process, cheap to clone by `Arc`.
//!
//! The parts that change while the kubelet runs are behind [`tokio::sync::watch`] channels, so that a reader either takes
//! the current value (`borrow`) or waits for the next one (`changed`), and nobody polls.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use tokio::sync::watch;

use crate::config::KubeletConfig;
use crate::cri::{Runtime, RuntimeState};
use crate::pod::registry::Registry;

/// A pod as it came from its source, shared.
pub type PodRef = Arc<core::Pod>;

/// The process-wide context.
pub struct Node {
    /// `metadata.name` of our Node object.
    pub name: Arc<str>,
    /// The machine's own host name (what a host-network pod sees).
    pub hostname: Arc<str>,
    /// Flags, file and drop-ins merged and defaulted.
    pub config: Arc<KubeletConfig>,
    /// What only flags say about our Node object and our certificates.
    pub flags: crate::node::Flags,
    /// Folders.
    pub paths: Paths,
    /// `None`: standalone, without an API server (only static pods).
    pub api: Option<machinery::client::Client>,
    /// The container runtime.
    pub cri: Runtime,
    /// Where events are told.
    pub events: machinery::events::Recorder,
    /// The pods of this node with their latest statuses.
    pub pods: Arc<Registry>,
    /// Written by `node`: the addresses of the node, the primary one first. Empty until known.
    pub addresses: watch::Sender<Vec<IpAddr>>,
    /// Written by `node`: our Node object as last read from (or written to) the API.
    pub object: watch::Sender<Option<Arc<core::Node>>>,
    /// Written by `cri::health`: whether the runtime and its network are ready.
    pub runtime: watch::Sender<RuntimeState>,
    /// Written by the eviction observer: what presses on the node.
    pub pressure: watch::Sender<crate::node::Pressure>,
    /// Written by `node`: what pods may use: (capacity, allocatable), from cAdvisor-like machine facts.
    pub capacity: watch::Sender<Capacity>,
}

/// What the machine has and what is left for pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// Allocatable, thousandths of a core.
    pub allocatable_cpu_millis: u64,
    /// Allocatable, bytes.
    pub allocatable_memory: u64,
    /// Bytes of the file system under the root directory.
    pub ephemeral_storage: u64,
    /// Allocatable bytes of that file system.
    pub allocatable_ephemeral_storage: u64,
    /// The most pods the node runs.
    pub pods: u64,
    /// Huge pages: (page size in bytes, allocatable bytes).
    pub hugepages: Vec<(u64, u64)>,
}

impl Capacity {
    /// Allocatable amounts by resource name, pods aside.
    #[must_use]
    pub fn allocatable_amounts(&self) -> crate::pod::resources::Amounts {
        use machinery::arith::quantity::Quantity;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let bytes = |n: u64| Quantity::from_bytes(number(n));
        let mut out = crate::pod::resources::Amounts::from([
            (
                "cpu".to_owned(),
                Quantity::from_millis(number(self.allocatable_cpu_millis)),
            ),
            ("memory".to_owned(), bytes(self.allocatable_memory)),
            (
                "ephemeral-storage".to_owned(),
                bytes(self.allocatable_ephemeral_storage),
            ),
        ]);
        for (size, total) in &self.hugepages {
            out.insert(format!("hugepages-{}", bytes(*size)), bytes(*total));
        }
        out
    }
}

/// The folders the kubelet works in, laid out as upstream lays them out.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `--root-dir`, usually `/var/lib/kubelet`.
    pub root: PathBuf,
    /// `podLogsDir`, usually `/var/log/pods`.
    pub pod_logs: PathBuf,
    /// `/var/log/containers`.
    pub container_logs: PathBuf,
}

impl Paths {
    /// `ROOT/pods/UID`.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// `ROOT/pods/UID/volumes/PLUGIN/NAME`, with the `/` of a plugin's name written as `~`.
    #[must_use]
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid)
            .join("volumes")
            .join(plugin.replace('/', "~"))
            .join(name)
    }

    /// `PODLOGS/NAMESPACE_NAME_UID`.
    #[must_use]
    pub fn pod_log(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_logs.join(format!("{namespace}_{name}_{uid}"))
    }
}
