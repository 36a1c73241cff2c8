//! Control groups: one a pod, under `kubepods` and its quality-of-service tiers, in v1 and v2 hierarchies.
//!
//! In: a pod's requests and limits. Out: folders under `/sys/fs/cgroup` with limits written, and the parent's name for the
//! runtime.

mod limits;
mod name;
mod tree;

use std::path::{Path, PathBuf};

pub use limits::{Limits, of_pod, weight};
pub use name::{Driver, Names};
pub use tree::Tree;

use crate::pod::resources::Qos;

/// A control group that could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[error("{what} of control group {path}: {source}")]
pub struct CgroupError {
    /// What was tried.
    pub what: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// Why it failed.
    pub source: std::io::Error,
}

/// The node's pod cgroups.
#[derive(Debug)]
pub struct Cgroups {
    names: Names,
    tree: Tree,
    /// `cgroupsPerQOS`; without it pods live directly in the root.
    per_qos: bool,
}

impl Cgroups {
    /// `root` is `cgroupRoot`.
    #[must_use]
    pub fn new(driver: Driver, root: &str, per_qos: bool, tree: Tree) -> Self {
        Self {
            names: Names::new(driver, root),
            tree,
            per_qos,
        }
    }

    /// Whether the unified hierarchy is in use.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.tree.is_v2()
    }

    /// The parent that the runtime is told for a pod's containers.
    #[must_use]
    pub fn parent(&self, uid: &str, qos: Qos) -> String {
        if self.per_qos {
            self.names.for_runtime(&self.names.pod(uid, qos))
        } else {
            self.names.root_for_runtime()
        }
    }

    /// The folder of a pod's cgroup below a controller's mount.
    #[must_use]
    pub fn pod_path(&self, uid: &str, qos: Qos) -> PathBuf {
        self.names.path(&self.names.pod(uid, qos))
    }

    /// Makes `kubepods` and its tiers.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(&self, node: &Limits) -> Result<(), CgroupError> {
        if !self.per_qos {
            return Ok(());
        }
        let root = self.names.path(&self.names.kubepods());
        self.tree.create(&root)?;
        self.tree.write(&root, node)?;
        for qos in [Qos::Burstable, Qos::BestEffort] {
            let path = self.names.path(&self.names.tier(qos));
            self.tree.create(&path)?;
            self.tree.write(
                &path,
                &Limits {
                    shares: Some(2),
                    ..Limits::default()
                },
            )?;
        }
        Ok(())
    }

    /// Makes a pod's cgroup, or brings its limits up to date.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn ensure(&self, uid: &str, qos: Qos, limits: &Limits) -> Result<(), CgroupError> {
        if !self.per_qos {
            return Ok(());
        }
        let path = self.pod_path(uid, qos);
        self.tree.create(&path)?;
        self.tree.write(&path, limits)
    }

    /// Removes a pod's cgroup, whichever tier it is in, with what is left in it.
    ///
    /// # Errors
    /// When something in it does not go.
    pub fn remove(&self, uid: &str) -> Result<(), CgroupError> {
        if !self.per_qos {
            return Ok(());
        }
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            self.tree.remove(&self.pod_path(uid, qos))?;
        }
        Ok(())
    }

    /// The uids of pods that have a cgroup.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        if !self.per_qos {
            return Vec::new();
        }
        let mut out = Vec::new();
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            let tier = self.names.tier(qos);
            for folder in self.tree.children(&self.names.path(&tier)) {
                out.extend(self.names.uid(&folder));
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// Sets the weight of the burstable tier: what its pods ask for together.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_burstable(&self, cpu_millis: i64) -> Result<(), CgroupError> {
        if !self.per_qos {
            return Ok(());
        }
        let shares = Some(crate::pod::resources::shares(cpu_millis));
        self.tree.write(
            &self.names.path(&self.names.tier(Qos::Burstable)),
            &Limits {
                shares,
                ..Limits::default()
            },
        )
    }

    /// Where a controller's files of a pod are, for statistics.
    #[must_use]
    pub fn folder(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        self.tree.folder(controller, path)
    }
}
