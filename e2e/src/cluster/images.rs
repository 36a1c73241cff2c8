//! Container images, from archives into each node's containerd.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::logs;
use crate::machine::launch;
use crate::plan::site::Site;

/// Images that every rig has: the sandbox, the cluster's DNS, and two to try things with.
pub const BASIC: [&str; 4] = ["pause", "coredns", "busybox", "agnhost"];

const PATIENCE: Duration = Duration::from_secs(30);

/// Archives in `folder` whose names start with one of `names`, in the order of `names`.
pub fn archives(folder: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    all.sort();
    Ok(names
        .iter()
        .flat_map(|name| {
            all.iter()
                .filter(move |path| stem(path).starts_with(name))
                .cloned()
        })
        .collect())
}

fn stem(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Waits for containerd on the node whose first process is `machine`, then imports `archives`. Blocks.
pub fn import(site: &Site, node: &str, machine: u32, archives: &[PathBuf]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let socket = format!("/proc/{machine}/root/run/containerd/containerd.sock");
    while UnixStream::connect(&socket).is_err() {
        if Instant::now() > until {
            let log = site.folder.log(&format!("containerd@{node}"));
            bail!(
                "containerd on {node} does not answer; the last lines of {}:\n{}",
                log.display(),
                logs::tail(&log, 12)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let ctr = site.upstream.join("ctr").display().to_string();
    for archive in archives {
        let archive = archive.display().to_string();
        let argv = [&ctr, "-n", "k8s.io", "images", "import", "--local", &archive]
            .map(String::from)
            .to_vec();
        let output = launch::output(machine, &site.programs_cgroup(node), &argv)?;
        if !output.status.success() {
            bail!(
                "importing {archive} on {node}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_come_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agnhost-2.66.1.tar", "pause-3.10.2.tar", "nginx.tar", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = archives(folder.path(), &BASIC).unwrap();
        let names: Vec<String> = found.iter().map(|path| stem(path)).collect();
        assert_eq!(names, ["pause-3.10.2.tar", "agnhost-2.66.1.tar"]);
    }
}
