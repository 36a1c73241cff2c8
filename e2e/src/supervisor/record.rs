//! `supervisor.json`: the processes that the supervisor started, for a `rig down` that finds it dead.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::process::ProcessId;

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
