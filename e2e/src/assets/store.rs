//! The assets folder: each asset is a file with a stamp beside it that holds the key it was made from.
//!
//! ```text
//! ROOT/bin/NAME  images/NAME.tar  trees/NAME.tar   the assets
//! ROOT/*/.NAME.key                                 their stamps, written last
//! ROOT/*/.NAME.part                                being made; left by an interrupted run, made anew by the next
//! ROOT/locks/NAME  logs/NAME.log  modules/NAME/
//! ```

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::error::{At, Result};
use super::progress::{Progress, Step};

/// Where assets are kept.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Assets below `root`; a relative one starts at the current folder.
    pub fn new(root: impl Into<PathBuf>) -> Layout {
        let root = root.into();
        Layout {
            root: std::path::absolute(&root).unwrap_or(root),
        }
    }

    /// The folder that `STEERSMAN_ASSETS` names, or `default`.
    pub fn from_env(default: impl Into<PathBuf>) -> Layout {
        match std::env::var_os("STEERSMAN_ASSETS").filter(|v| !v.is_empty()) {
            Some(root) => Layout::new(root),
            None => Layout::new(default),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Programs, CNI plugins among them.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// OCI archives.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// What the compilers and installers said.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(super) fn log(&self, what: &str) -> PathBuf {
        self.logs().join(format!("{what}.log"))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    pub(super) fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Holds `name` for this process until the returned file is dropped.
    pub(super) fn lock(&self, name: &str, progress: &dyn Progress) -> Result<File> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder).at("create the folder", &folder)?;
        let path = folder.join(name);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .at("open the lock", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.show(name, Step::Waiting);
                file.lock().at("lock", &path)?;
            }
            Err(TryLockError::Error(e)) => return Err(e).at("lock", &path),
        }
        Ok(file)
    }
}

/// What an asset is made from, as a digest: the same key, the same asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    /// A key over named fields; neither order nor the border between two fields is lost.
    pub(super) fn of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Key {
        let mut hash = Sha256::new();
        for (name, value) in fields {
            for part in [name.as_bytes(), value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        Key(format!("{:x}", hash.finalize()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The place of one asset, whether it is there or not.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) key: Key,
}

impl Slot {
    /// Whether the asset is there and was made from this key.
    pub(super) fn ready(&self) -> bool {
        self.path.exists() && fs::read(self.stamp()).is_ok_and(|stamp| stamp == self.key.as_bytes())
    }

    /// Makes the asset unless it is there: `make` writes it to the path that it is given, which then takes the
    /// asset's place. Of two processes one makes it and the other waits.
    pub(super) fn fill(
        &self,
        layout: &Layout,
        progress: &dyn Progress,
        hint: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        if self.ready() {
            return Ok(());
        }
        let _lock = layout.lock(&self.name, progress)?;
        if self.ready() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(layout.root());
        fs::create_dir_all(folder).at("create the folder", folder)?;
        let (part, stamp) = (self.beside("part"), self.stamp());
        remove(&part)?;
        let start = Instant::now();
        progress.show(&self.name, Step::Started { hint });
        if let Err(e) = make(&part) {
            remove(&part)?;
            return Err(e);
        }
        // The old stamp goes first and the new one comes last: a stamp never stands beside another key's asset.
        remove(&stamp)?;
        fs::rename(&part, &self.path).at("move into place", &self.path)?;
        let fresh = self.beside("key.part");
        fs::write(&fresh, self.key.as_bytes()).at("write", &fresh)?;
        fs::rename(&fresh, &stamp).at("move into place", &stamp)?;
        progress.show(
            &self.name,
            Step::Done {
                took: start.elapsed(),
            },
        );
        Ok(())
    }

    fn stamp(&self) -> PathBuf {
        self.beside("key")
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".");
        name.push(extension);
        self.path.with_file_name(name)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
