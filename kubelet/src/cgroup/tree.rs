//! The cgroup file systems: v1 with a folder a controller, v2 with one for all.

use std::io;
use std::path::{Path, PathBuf};

use super::CgroupError;
use super::limits::{Limits, weight};

/// Where controllers are mounted.
#[derive(Clone, Debug)]
pub enum Tree {
    /// Mount of each v1 hierarchy, with its controllers.
    V1(Vec<(PathBuf, Vec<String>)>),
    /// The unified mount.
    V2(PathBuf),
}

impl Tree {
    /// Looks at `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When it cannot be read or shows no cgroups.
    pub fn detect() -> Result<Self, CgroupError> {
        let path = PathBuf::from("/proc/self/mountinfo");
        let wrap = |source| CgroupError {
            what: "finding the mounts",
            path: path.clone(),
            source,
        };
        let text = std::fs::read_to_string(&path).map_err(wrap)?;
        Self::parse(&text)
            .ok_or_else(|| wrap(io::Error::new(io::ErrorKind::NotFound, "no cgroup is mounted")))
    }

    fn parse(mountinfo: &str) -> Option<Self> {
        let mut v1: Vec<(PathBuf, Vec<String>)> = Vec::new();
        let mut v2 = None;
        for line in mountinfo.lines() {
            let (left, right) = line.split_once(" - ")?;
            let point = PathBuf::from(left.split(' ').nth(4)?);
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) => v2 = Some(point),
                (Some("cgroup"), Some(options)) => {
                    let controllers: Vec<String> = options
                        .split(',')
                        .filter(|o| {
                            !matches!(*o, "rw" | "ro" | "xattr" | "clone_children")
                                && !o.starts_with("release_agent")
                        })
                        .map(str::to_owned)
                        .collect();
                    // The same hierarchy may be mounted more than once: the first is enough.
                    if !v1.iter().any(|(_, c)| *c == controllers) {
                        v1.push((point, controllers));
                    }
                }
                _ => {}
            }
        }
        if !v1
            .iter()
            .any(|(_, c)| c.iter().any(|c| c == "memory" || c == "cpu"))
        {
            return v2.map(Self::V2);
        }
        // A hybrid machine: the runtime makes a folder of each cgroup in the unified hierarchy too.
        v1.extend(v2.map(|point| (point, Vec::new())));
        Some(Self::V1(v1))
    }

    /// The unified hierarchy.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        matches!(self, Self::V2(_))
    }

    /// A controller's folder of a cgroup.
    #[must_use]
    pub fn folder(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        match self {
            Self::V1(mounts) => mounts
                .iter()
                .find(|(_, c)| c.iter().any(|c| c == controller))
                .map(|(mount, _)| mount.join(path)),
            Self::V2(mount) => Some(mount.join(path)),
        }
    }

    fn mounts(&self) -> Vec<&Path> {
        match self {
            Self::V1(mounts) => mounts.iter().map(|(m, _)| m.as_path()).collect(),
            Self::V2(mount) => vec![mount],
        }
    }

    /// Makes a cgroup and those above it.
    pub(super) fn create(&self, path: &Path) -> Result<(), CgroupError> {
        match self {
            Self::V1(mounts) => {
                for (mount, controllers) in mounts {
                    let is_cpuset = controllers.iter().any(|c| c == "cpuset");
                    let mut at = mount.clone();
                    for part in path {
                        let above = at.clone();
                        at.push(part);
                        if make(&at)? && is_cpuset {
                            inherit_cpuset(&above, &at)?;
                        }
                    }
                }
            }
            Self::V2(mount) => {
                let mut at = mount.clone();
                for part in path {
                    enable_controllers(&at);
                    at.push(part);
                    make(&at)?;
                }
            }
        }
        Ok(())
    }

    /// Writes limits.
    pub(super) fn write(&self, path: &Path, limits: &Limits) -> Result<(), CgroupError> {
        let Limits {
            shares,
            quota,
            memory,
            pids,
            hugepages,
        } = limits;
        let unlimited = |n: i64, none: &str| if n > 0 { n.to_string() } else { none.to_owned() };
        let v2 = self.is_v2();
        let put = |controller: &str, file: &str, text: String| -> Result<(), CgroupError> {
            let Some(folder) = self.folder(controller, path) else {
                return Ok(());
            };
            let path = folder.join(file);
            if !path.exists() {
                return Ok(());
            }
            std::fs::write(&path, &text).map_err(|source| CgroupError {
                what: "writing a limit",
                path,
                source,
            })
        };
        if let Some(shares) = shares {
            if v2 {
                put("cpu", "cpu.weight", weight(*shares).to_string())?;
            } else {
                put("cpu", "cpu.shares", shares.to_string())?;
            }
        }
        if let Some((quota, period)) = quota {
            if v2 {
                put("cpu", "cpu.max", format!("{} {period}", unlimited(*quota, "max")))?;
            } else {
                put("cpu", "cpu.cfs_period_us", period.to_string())?;
                put("cpu", "cpu.cfs_quota_us", unlimited(*quota, "-1"))?;
            }
        }
        if let Some(memory) = memory {
            if v2 {
                put("memory", "memory.max", unlimited(*memory, "max"))?;
            } else {
                put("memory", "memory.limit_in_bytes", unlimited(*memory, "-1"))?;
            }
        }
        if let Some(pids) = pids {
            put("pids", "pids.max", unlimited(*pids, "max"))?;
        }
        for (size, bytes) in hugepages {
            let file = if v2 {
                format!("hugetlb.{size}.max")
            } else {
                format!("hugetlb.{size}.limit_in_bytes")
            };
            put("hugetlb", &file, bytes.to_string())?;
        }
        Ok(())
    }

    /// Removes a cgroup with those below it; processes in them are killed first.
    pub(super) fn remove(&self, path: &Path) -> Result<(), CgroupError> {
        for mount in self.mounts() {
            remove_below(&mount.join(path))?;
        }
        Ok(())
    }

    /// The cgroups directly below one.
    pub(super) fn children(&self, path: &Path) -> Vec<PathBuf> {
        let mut out = Vec::new();
        for mount in self.mounts() {
            let Ok(entries) = std::fs::read_dir(mount.join(path)) else {
                continue;
            };
            let folders = entries
                .flatten()
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
            out.extend(folders.map(|e| PathBuf::from(e.file_name())));
        }
        out.sort();
        out.dedup();
        out
    }
}

/// Makes one folder; whether it is new.
fn make(path: &Path) -> Result<bool, CgroupError> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(CgroupError {
            what: "creation",
            path: path.into(),
            source,
        }),
    }
}

/// A new v1 cpuset takes no process before it has cpus and memory nodes.
fn inherit_cpuset(above: &Path, at: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = at.join(file);
        let wrap = |source| CgroupError {
            what: "copying the cpuset",
            path: path.clone(),
            source,
        };
        if std::fs::read_to_string(&path).map_err(wrap)?.trim().is_empty() {
            let from = std::fs::read_to_string(above.join(file)).map_err(wrap)?;
            std::fs::write(&path, from.trim()).map_err(wrap)?;
        }
    }
    Ok(())
}

/// Hands controllers down; one that cannot be had (threaded parents, delegation) is left out.
fn enable_controllers(at: &Path) {
    let Ok(available) = std::fs::read_to_string(at.join("cgroup.controllers")) else {
        return;
    };
    for controller in available.split_whitespace() {
        let _ = std::fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn remove_below(path: &Path) -> Result<(), CgroupError> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Ok(());
    };
    for entry in entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
    {
        remove_below(&entry.path())?;
    }
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(first) => {
            // Processes that outlived their container: end them; the caller tries again when they have not gone yet.
            kill_all(path);
            match std::fs::remove_dir(path) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(_) => Err(CgroupError {
                    what: "removal",
                    path: path.into(),
                    source: first,
                }),
            }
        }
    }
}

fn kill_all(path: &Path) {
    let Ok(pids) = std::fs::read_to_string(path.join("cgroup.procs")) else {
        return;
    };
    for pid in pids
        .lines()
        .filter_map(|l| l.parse::<i32>().ok())
        .filter_map(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_apart() {
        let v1 = "30 25 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                  31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  32 25 0:28 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let tree = Tree::parse(v1).unwrap();
        assert!(!tree.is_v2());
        assert_eq!(
            tree.mounts().len(),
            3,
            "the unified hierarchy of a hybrid machine is swept too"
        );
        assert_eq!(
            tree.folder("cpu", Path::new("a")).unwrap(),
            Path::new("/sys/fs/cgroup/cpu,cpuacct/a")
        );
        let v2 = "32 25 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert!(Tree::parse(v2).unwrap().is_v2());
        assert!(Tree::parse("1 2 0:3 / / rw - ext4 /dev/sda rw\n").is_none());
    }

    #[test]
    fn cgroups_are_folders_with_limits() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::V1(vec![
            (dir.path().join("cpu"), vec!["cpu".into()]),
            (dir.path().join("memory"), vec!["memory".into()]),
        ]);
        for c in ["cpu", "memory"] {
            std::fs::create_dir(dir.path().join(c)).unwrap();
        }
        let path = Path::new("kubepods/burstable/podx");
        tree.create(path).unwrap();
        let shares = dir.path().join("cpu").join(path).join("cpu.shares");
        std::fs::write(&shares, "1024").unwrap();
        tree.write(
            path,
            &Limits {
                shares: Some(7),
                memory: Some(1),
                ..Limits::default()
            },
        )
        .unwrap();
        assert_eq!(std::fs::read_to_string(&shares).unwrap(), "7");
        assert_eq!(
            tree.children(Path::new("kubepods/burstable")),
            [PathBuf::from("podx")]
        );
        std::fs::remove_file(&shares).unwrap();
        tree.remove(path).unwrap();
        assert!(tree.children(Path::new("kubepods/burstable")).is_empty());
    }
}
