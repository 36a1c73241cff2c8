//! Names of cgroups, as the two drivers write them.

use std::path::{Path, PathBuf};

use crate::pod::resources::Qos;

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Plain folders.
    Cgroupfs,
    /// Slices of systemd.
    Systemd,
}

/// A cgroup by the parts of its name, outermost first.
type Parts = Vec<String>;

/// How cgroups of pods are named on this node.
#[derive(Clone, Debug)]
pub struct Names {
    driver: Driver,
    root: Parts,
}

impl Names {
    /// Under `root` (`/` or empty for the top).
    #[must_use]
    pub fn new(driver: Driver, root: &str) -> Self {
        let root = root
            .split('/')
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect();
        Self { driver, root }
    }

    /// `kubepods`.
    #[must_use]
    pub fn kubepods(&self) -> Parts {
        self.below(&["kubepods"])
    }

    /// A tier; guaranteed pods are directly in `kubepods`.
    #[must_use]
    pub fn tier(&self, qos: Qos) -> Parts {
        match qos {
            Qos::Guaranteed => self.kubepods(),
            Qos::Burstable => self.below(&["kubepods", "burstable"]),
            Qos::BestEffort => self.below(&["kubepods", "besteffort"]),
        }
    }

    /// A pod's.
    #[must_use]
    pub fn pod(&self, uid: &str, qos: Qos) -> Parts {
        let mut parts = self.tier(qos);
        parts.push(format!("pod{uid}"));
        parts
    }

    fn below(&self, parts: &[&str]) -> Parts {
        self.root
            .iter()
            .cloned()
            .chain(parts.iter().map(|p| (*p).to_owned()))
            .collect()
    }

    /// The folder below a controller's mount.
    #[must_use]
    pub fn path(&self, parts: &[String]) -> PathBuf {
        match self.driver {
            Driver::Cgroupfs => parts.iter().collect(),
            Driver::Systemd => {
                let escaped: Vec<String> = parts.iter().map(|p| p.replace('-', "_")).collect();
                (1..=escaped.len()).map(|n| slice(&escaped[..n])).collect()
            }
        }
    }

    /// The name the runtime is told.
    #[must_use]
    pub fn for_runtime(&self, parts: &[String]) -> String {
        match self.driver {
            Driver::Cgroupfs => format!("/{}", parts.join("/")),
            Driver::Systemd => {
                let escaped: Vec<String> = parts.iter().map(|p| p.replace('-', "_")).collect();
                slice(&escaped)
            }
        }
    }

    /// The root's name, for pods without cgroups of their own.
    #[must_use]
    pub fn root_for_runtime(&self) -> String {
        if self.root.is_empty() && self.driver == Driver::Cgroupfs {
            "/".into()
        } else {
            self.for_runtime(&self.root)
        }
    }

    /// The uid in the name of a pod's folder.
    #[must_use]
    pub fn uid(&self, folder: &Path) -> Option<String> {
        let name = folder.file_name()?.to_str()?;
        match self.driver {
            Driver::Cgroupfs => name.strip_prefix("pod").map(str::to_owned),
            Driver::Systemd => {
                let (_, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
                Some(uid.replace('_', "-"))
            }
        }
    }
}

fn slice(parts: &[String]) -> String {
    if parts.is_empty() {
        "-.slice".into()
    } else {
        format!("{}.slice", parts.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drivers() {
        for (driver, root, qos, path, runtime) in [
            (
                Driver::Cgroupfs,
                "",
                Qos::Guaranteed,
                "kubepods/poda-b",
                "/kubepods/poda-b",
            ),
            (
                Driver::Cgroupfs,
                "/rig-n1",
                Qos::Burstable,
                "rig-n1/kubepods/burstable/poda-b",
                "/rig-n1/kubepods/burstable/poda-b",
            ),
            (
                Driver::Systemd,
                "",
                Qos::BestEffort,
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice",
                "kubepods-besteffort-poda_b.slice",
            ),
            (
                Driver::Systemd,
                "/kubelet",
                Qos::Guaranteed,
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-poda_b.slice",
                "kubelet-kubepods-poda_b.slice",
            ),
        ] {
            let names = Names::new(driver, root);
            let pod = names.pod("a-b", qos);
            assert_eq!(names.path(&pod), Path::new(path));
            assert_eq!(names.for_runtime(&pod), runtime);
            assert_eq!(names.uid(&names.path(&pod)).as_deref(), Some("a-b"));
        }
    }
}
