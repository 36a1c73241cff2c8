//! Container images, from archives into each node's containerd.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::logs;
use crate::machine::launch;
use crate::plan::site::Site;
use crate::supervisor::record::supervisor;

const PATIENCE: Duration = Duration::from_secs(30);

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
    let ctr = site.upstream().join("ctr").display().to_string();
    for archive in archives {
        let archive = archive.display().to_string();
        let argv = [&ctr, "-n", "k8s.io", "images", "import", "--local", &archive]
            .map(String::from)
            .to_vec();
        let output = launch::output(
            &supervisor(&site.folder)?,
            machine,
            &site.programs_cgroup(node),
            &argv,
        )?;
        if !output.status.success() {
            bail!(
                "importing {archive} on {node}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}
