//! `state.json`: what a rig is, and what it made outside its folder, written before it is made.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::plan::choice::Choices;
use crate::plan::identity::RigId;
use crate::plan::site::{Folder, Site};

/// How far a rig has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// `rig up` is at work, or was when it ended.
    Starting,
    Up,
}

/// A rig. All that it leaves outside its folder is processes and cgroups, both below `cgroup`; namespaces, links and
/// mounts go with the last process in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub id: RigId,
    pub phase: Phase,
    pub nodes: u8,
    pub choices: Choices,
    /// Loopback port of the API server.
    pub port: u16,
    pub cgroup: String,
    /// Folder of our programs.
    pub ours: PathBuf,
}

impl State {
    /// Reads the state of the rig in `folder`, if there is one.
    pub fn read(folder: &Folder) -> Result<Option<Self>> {
        let file = folder.state();
        match fs::read(&file) {
            Ok(text) => Ok(Some(
                serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Reads the state of the rig in `folder`.
    ///
    /// # Errors
    /// If there is none.
    pub fn expect(folder: &Folder) -> Result<Self> {
        match Self::read(folder)? {
            Some(state) => Ok(state),
            None => bail!(
                "there is no rig in {}: `rig up` makes one",
                folder.root().display()
            ),
        }
    }

    pub fn write(&self, folder: &Folder) -> Result<()> {
        replace(&folder.state(), &serde_json::to_vec_pretty(self)?)
    }

    pub fn site(&self, folder: Folder) -> Site {
        Site {
            folder,
            ours: self.ours.clone(),
        }
    }
}

/// Puts `content` in place of `file`, whole or not at all, and makes the folders above it.
pub fn replace(file: &Path, content: &[u8]) -> Result<()> {
    let partial = file.with_extension("partial");
    (|| {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create(&partial)?.write_all(content)?;
        fs::rename(&partial, file)
    })()
    .with_context(|| format!("writing {}", file.display()))
}

/// Held while a command changes a rig; two at once would undo each other.
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// # Errors
    /// If another command holds it.
    pub fn take(folder: &Folder) -> Result<Self> {
        fs::create_dir_all(folder.root()).with_context(|| format!("making {}", folder.root().display()))?;
        let path = folder.lock();
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another `rig` command is changing the rig in {}: wait for it",
                folder.root().display()
            );
        }
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("rig"));
        (temporary, folder)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (_temporary, folder) = folder();
        assert_eq!(State::read(&folder).unwrap(), None);
        assert!(State::expect(&folder).unwrap_err().to_string().contains("rig up"));
        let state = State {
            id: folder.id(),
            phase: Phase::Starting,
            nodes: 2,
            choices: Choices::new(&["n1:kubelet=upstream".parse().unwrap()], 2).unwrap(),
            port: 21_000,
            cgroup: folder.id().cgroup(),
            ours: "/b".into(),
        };
        state.write(&folder).unwrap();
        assert_eq!(State::expect(&folder).unwrap(), state);
    }

    #[test]
    fn only_one_command_changes_a_rig() {
        let (_temporary, folder) = folder();
        let first = Lock::take(&folder).unwrap();
        assert!(Lock::take(&folder).is_err());
        drop(first);
        assert!(Lock::take(&folder).is_ok());
    }
}
