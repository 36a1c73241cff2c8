//! What the runtime says of one pod, in plain data.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

/// A container's state in the runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Made, never started (a start that failed leaves it so).
    Created,
    /// Runs.
    Running,
    /// Ended.
    Exited,
    /// The runtime cannot say.
    #[default]
    Unknown,
}

/// One container (one attempt of it).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Id in the runtime.
    pub id: Arc<str>,
    /// Name in the pod spec.
    pub name: Arc<str>,
    /// The sandbox it is in.
    pub sandbox: Arc<str>,
    /// Its state.
    pub state: RunState,
    /// Hash of the spec it was made from.
    pub hash: u64,
    /// Restarts before it.
    pub restart_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Its exit code.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, ...
    pub reason: String,
    /// The runtime's message and the container's last words.
    pub message: String,
    /// The image as the pod names it (or as the runtime does).
    pub image: String,
    /// The image by digest.
    pub image_ref: String,
    /// Its log file.
    pub log_path: Arc<str>,
    /// Who it runs as.
    pub user: Option<User>,
    /// What its cgroup is set to, as far as the runtime says.
    pub resources: Actual,
}

/// The identity of a container's first process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// uid.
    pub uid: i64,
    /// gid.
    pub gid: i64,
    /// Supplementary groups.
    pub groups: Vec<i64>,
}

/// Resources in force: thousandths of a core, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// From cpu shares.
    pub cpu_request_millis: Option<i64>,
    /// From the CFS quota.
    pub cpu_limit_millis: Option<i64>,
    /// The memory limit.
    pub memory_limit: Option<i64>,
}

/// One sandbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    /// Id in the runtime.
    pub id: Arc<str>,
    /// 0 for the first.
    pub attempt: u32,
    /// Its pause process runs.
    pub ready: bool,
    /// In the node's network namespace.
    pub host_network: bool,
    /// The runtime tells about its network.
    pub has_network: bool,
    /// Its addresses, the primary one first.
    pub ips: Vec<IpAddr>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Everything of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Newest first.
    pub containers: Vec<Container>,
}

impl Observed {
    /// Brings the lists into their order.
    pub fn sort(&mut self) {
        self.sandboxes
            .sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        self.containers
            .sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    }

    /// The newest attempt of a container.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| &*c.name == name)
    }

    /// The newest attempt of a container in the active sandbox.
    #[must_use]
    pub fn active(&self, name: &str) -> Option<&Container> {
        let sandbox = self.active_sandbox()?;
        self.containers
            .iter()
            .find(|c| &*c.name == name && c.sandbox == sandbox.id)
    }

    /// The newest sandbox, when it is ready.
    #[must_use]
    pub fn active_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    /// Containers that may still have processes.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers
            .iter()
            .filter(|c| matches!(c.state, RunState::Running | RunState::Unknown))
    }
}
