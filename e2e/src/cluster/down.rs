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
        // What is not ours stays, and so the folder with it.
        let _ = fs::remove_file(folder.lock()).and_then(|()| fs::remove_dir(folder.root()));
    }
    Ok(there)
}

/// Ends every process, removes the cgroups and what the rig wrote to the folder, but for its lock.
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
    for path in folder.contents() {
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
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
