//! Where everything of one rig is: its state folder and the folders that its programs come from.

use std::path::{Path, PathBuf};

use super::choice::{Component, Origin};
use super::identity::RigId;

/// The state folder: everything that a rig writes is below it.
///
/// ```text
/// state.json            what was made, written before it is made     kubeconfig   for stock kubectl on loopback
/// supervisor.json       processes, by pid and start time             logs/        one file a program
/// supervisor.sock       the supervisor's socket                      pki/         keys and certificates
/// config/               configuration files and kubeconfigs          etcd/        the store
/// upstream/             links to upstream's programs                 lock         held by commands that change the rig
/// machines/NAME/        what is private to a machine: mounts, containerd, kubelet, logs
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// `root` is absolute and resolved.
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn id(&self) -> RigId {
        RigId::of(&self.0)
    }

    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    pub fn supervisor_record(&self) -> PathBuf {
        self.0.join("supervisor.json")
    }

    pub fn socket_name(&self) -> &'static str {
        "supervisor.sock"
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub fn log(&self, instance: &str) -> PathBuf {
        self.logs().join(format!("{instance}.log"))
    }

    pub fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    pub fn certificate(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.crt"))
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.key"))
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.0.join("config").join(name)
    }

    pub fn component_kubeconfig(&self, user: &str) -> PathBuf {
        self.config(&format!("{user}.kubeconfig"))
    }

    /// Links to upstream's programs.
    pub fn upstream(&self) -> PathBuf {
        self.0.join("upstream")
    }

    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Everything that a rig writes here, and `rig down` removes; the lock, which is held meanwhile, is not among it.
    pub fn contents(&self) -> Vec<PathBuf> {
        let mut contents = vec![
            self.supervisor_record(),
            self.0.join(self.socket_name()),
            self.kubeconfig(),
        ];
        contents
            .extend(["logs", "pki", "config", "etcd", "machines", "upstream"].map(|name| self.0.join(name)));
        // Last: while it is there, so may be the rest.
        contents.push(self.state());
        contents
    }

    pub fn etcd(&self) -> PathBuf {
        self.0.join("etcd")
    }

    pub fn machine(&self, name: &str) -> PathBuf {
        self.0.join("machines").join(name)
    }

    /// Static pods of a node.
    pub fn manifests(&self, node: &str) -> PathBuf {
        self.machine(node).join("manifests")
    }

    /// Where a node's CNI configuration goes; the node sees it as `/etc/cni/net.d`.
    pub fn cni(&self, node: &str) -> PathBuf {
        self.machine(node).join("cni/net.d")
    }
}

/// A rig's state folder with the folders of the programs that run in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub folder: Folder,
    /// Ours.
    pub ours: PathBuf,
}

impl Site {
    /// Folder of upstream's programs, containerd, runc and the CNI plugins.
    pub fn upstream(&self) -> PathBuf {
        self.folder.upstream()
    }

    pub fn binary(&self, component: Component, origin: Origin) -> PathBuf {
        match origin {
            Origin::Ours => self.ours.join(component.program()),
            Origin::Upstream => self.upstream().join(component.program()),
        }
    }

    /// The cgroup of a node's pods, relative to the root of each hierarchy.
    pub fn pods_cgroup(&self, node: &str) -> String {
        format!("{}/{node}", self.folder.id().cgroup())
    }

    /// The cgroup of a machine's own programs.
    pub fn programs_cgroup(&self, machine: &str) -> String {
        format!("{}/{machine}-programs", self.folder.id().cgroup())
    }

    /// The cgroup of the supervisor.
    pub fn supervisor_cgroup(&self) -> String {
        format!("{}/supervisor", self.folder.id().cgroup())
    }
}
