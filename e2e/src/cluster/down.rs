//! `rig down`: removes whatever there is of a rig, however it ended.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::machine::cgroup::Hierarchies;
use crate::machine::preflight;
use crate::plan::site::Folder;
use crate::state::Lock;
use crate::supervisor::record::Record;

const PATIENCE: Duration = Duration::from_secs(20);

/// Ends and removes the rig in `folder`. Says whether there was one.
pub fn down(folder: &Folder) -> Result<bool> {
    preflight::root()?;
    let there = folder.state().exists() || Hierarchies::find()?.exists(&folder.id().cgroup());
    if there || folder.root().exists() {
        let _lock = Lock::take(folder)?;
        remove(folder)?;
        fs::remove_dir_all(folder.root()).with_context(|| format!("removing {}", folder.root().display()))?;
    }
    Ok(there)
}

/// Ends every process, removes the cgroups and empties the folder but for its lock.
///
/// The supervisor goes first, for it starts programs again; then the first process of each machine, which takes all of
/// its process namespace along; then whatever else is in the rig's cgroups.
pub fn remove(folder: &Folder) -> Result<()> {
    let record = Record::read(&folder.supervisor_record()).unwrap_or_default();
    for process in record
        .supervisor
        .iter()
        .chain(record.machines.values())
        .chain(record.programs.values())
    {
        process.signal(Signal::KILL);
    }
    if let Some(supervisor) = record.supervisor {
        supervisor.wait_gone(PATIENCE);
    }
    Hierarchies::find()?.clear(&folder.id().cgroup(), PATIENCE)?;
    for entry in fs::read_dir(folder.root()).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == "lock" {
            continue;
        }
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
