//! `supervisor.json`: the processes that the supervisor started, for a `rig down` that finds it dead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::process::ProcessId;
use crate::plan::site::Folder;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub supervisor: Option<ProcessId>,
    /// First process of each machine, in the host's numbering.
    pub machines: BTreeMap<String, ProcessId>,
    pub programs: BTreeMap<String, ProcessId>,
}

impl Record {
    /// Reads the record; an absent one is empty.
    pub fn read(file: &Path) -> Result<Self> {
        match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        crate::state::replace(file, &serde_json::to_vec_pretty(self)?)
    }
}

/// The program that the supervisor of `folder` runs, which is `rig`, even if its file has been replaced.
pub fn supervisor(folder: &Folder) -> Result<PathBuf> {
    let record = Record::read(&folder.supervisor_record())?;
    let alive = record.supervisor.filter(|supervisor| supervisor.alive());
    let process = alive.with_context(|| format!("no rig is up in {}", folder.root().display()))?;
    Ok(format!("/proc/{}/exe", process.pid).into())
}
