//! The rig's cgroups, in every hierarchy of version 1 or in the one of version 2.
//!
//! Whatever the rig starts is born in one of them, so they are also the record of what runs: ending every process below
//! `rig-ID` ends the rig, whatever became of its supervisor.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::process::signal_pid;

const ROOT: &str = "/sys/fs/cgroup";

/// The hierarchies of this machine, by mount point.
#[derive(Clone, Debug)]
pub struct Hierarchies {
    roots: Vec<PathBuf>,
    unified: bool,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// If there is no cgroup hierarchy below `/sys/fs/cgroup`.
    pub fn find() -> Result<Self> {
        let mounts = procfs::process::Process::myself()
            .and_then(|me| me.mountinfo())
            .context("reading /proc/self/mountinfo")?;
        let of_kind = |kind: &str| -> Vec<PathBuf> {
            mounts
                .iter()
                .filter(|mount| mount.fs_type == kind && mount.mount_point.starts_with(ROOT))
                .map(|mount| mount.mount_point.clone())
                .collect()
        };
        let (mut roots, second) = (of_kind("cgroup"), of_kind("cgroup2"));
        let unified = roots.is_empty();
        if unified && second.is_empty() {
            bail!(
                "no cgroup hierarchy is mounted below {ROOT}: a rig needs one (mount -t cgroup2 none {ROOT})"
            );
        }
        // Where both are mounted, containers are in both.
        roots.extend(second);
        Ok(Self { roots, unified })
    }

    /// Makes `name` (relative to the root of each hierarchy) and those above it.
    pub fn make(&self, name: &str) -> Result<()> {
        for root in &self.roots {
            let mut at = root.clone();
            for part in Path::new(name).components() {
                if self.unified {
                    delegate(&at);
                }
                let parent = at.clone();
                at.push(part);
                match fs::create_dir(&at) {
                    Ok(()) => inherit_cpuset(&parent, &at)?,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("making cgroup {}", at.display()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves the calling process into `name`.
    pub fn join(&self, name: &str) -> Result<()> {
        for root in &self.roots {
            let file = root.join(name).join("cgroup.procs");
            fs::write(&file, "0").with_context(|| format!("joining cgroup {}", file.display()))?;
        }
        Ok(())
    }

    /// Process ids below `name`, in any hierarchy, in any order.
    pub fn processes(&self, name: &str) -> Vec<u32> {
        let mut pids: Vec<u32> = self
            .roots
            .iter()
            .flat_map(|root| processes_below(&root.join(name)))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Ends every process below `name` and removes the cgroups. What is not there is no error.
    ///
    /// # Errors
    /// If a process does not die within `patience`, or a cgroup cannot be removed.
    pub fn clear(&self, name: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let pids = self.processes(name);
            if pids.is_empty() {
                break;
            }
            if Instant::now() > until {
                bail!("processes {pids:?} in cgroup {name} do not die; `ps` may say what they wait for");
            }
            self.thaw(name);
            for pid in pids {
                signal_pid(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for root in &self.roots {
            remove_below(&root.join(name), until)?;
        }
        Ok(())
    }

    /// Whether any hierarchy has `name`.
    pub fn exists(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root.join(name).exists())
    }

    /// A frozen process does not die.
    fn thaw(&self, name: &str) {
        for root in &self.roots {
            for folder in folders_below(&root.join(name)) {
                let _ = fs::write(folder.join("freezer.state"), "THAWED");
                let _ = fs::write(folder.join("cgroup.freeze"), "0");
            }
        }
    }
}

/// Lets the children of a version 2 cgroup have controllers. One that cannot be had is left out.
fn delegate(parent: &Path) {
    for controller in fs::read_to_string(parent.join("cgroup.controllers"))
        .unwrap_or_default()
        .split_whitespace()
    {
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A version 1 cpuset starts empty and takes no process until it has processors and memory.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), child.join(file));
        let Ok(value) = fs::read_to_string(&from) else {
            continue;
        };
        if value.trim().is_empty() {
            continue;
        }
        fs::write(&to, value.trim())
            .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

fn folders_below(top: &Path) -> Vec<PathBuf> {
    let mut folders = vec![top.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let children = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            children
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|e| e.path()),
        );
    }
    folders
}

fn processes_below(top: &Path) -> Vec<u32> {
    folders_below(top)
        .iter()
        .filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A cgroup may stay busy for a moment after its last process was reaped.
fn remove_below(top: &Path, until: Instant) -> Result<()> {
    for folder in folders_below(top).iter().rev() {
        loop {
            match fs::remove_dir(folder) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) if Instant::now() > until => {
                    return Err(error).with_context(|| format!("removing cgroup {}", folder.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
    Ok(())
}
