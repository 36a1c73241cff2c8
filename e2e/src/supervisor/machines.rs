//! Making machines: a first process in fresh namespaces.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::logs;
use crate::machine::process::ProcessId;
use crate::machine::{init, launch};
use crate::plan::mounts::Machine;

/// A machine lives as long as its first process.
pub struct Running {
    pub first: ProcessId,
    /// util-linux's `unshare`, which takes the machine down when it dies.
    _unshare: Child,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Makes `machine` and waits until its first process has set it up.
pub fn make(machine: &Machine) -> Result<Running> {
    let folder = machine.ready.parent().context("a machine has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let _ = fs::remove_file(&machine.ready);
    let description = folder.join("machine.json");
    crate::state::replace(&description, &serde_json::to_vec_pretty(machine)?)?;
    let log = logs::open(&machine.log)?;
    let mut unshare = Command::new("/usr/bin/unshare")
        .args([
            "--net",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--",
        ])
        .arg(launch::own_program())
        .arg(init::WORD)
        .arg(&description)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("duplicating a log file")?)
        .stderr(log)
        .current_dir("/")
        .spawn()
        .context("running `unshare` (Debian package util-linux)")?;
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(first) = ready(&machine.ready) {
            return Ok(Running {
                first,
                _unshare: unshare,
            });
        }
        if let Some(exit) = unshare.try_wait().context("waiting for `unshare`")? {
            bail!(
                "machine {} did not come up ({exit}):\n{}",
                machine.name,
                logs::tail(&machine.log, 10)
            );
        }
        if Instant::now() > until {
            bail!(
                "machine {} is not ready after {PATIENCE:?}:\n{}",
                machine.name,
                logs::tail(&machine.log, 10)
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ready(file: &Path) -> Option<ProcessId> {
    ProcessId::of(fs::read_to_string(file).ok()?.trim().parse().ok()?)
}
