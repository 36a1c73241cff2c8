//! Writes a payload so that a reader sees all of the old files or all of the new ones.
//!
//! ```text
//! VOLUME/..2026_01_02_15_04_05.123456789/   the files
//! VOLUME/..data -> ..2026_...               swapped by rename(2)
//! VOLUME/name   -> ..data/name              one for each first part of a path
//! ```
//! This is upstream's layout to the letter: the other kubelet goes on from it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;

use super::payload::Payload;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// A step that failed, and on what.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}: {source}", .path.display())]
pub(crate) struct WriteError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.into();
    move |source| WriteError { step, path, source }
}

/// Makes `volume` hold exactly `payload`. `own` sets owners and modes of what is new before anybody can see it.
/// True if anything was written.
///
/// # Errors
/// The step that failed; what was published before stays published.
pub(crate) fn write(
    volume: &Path,
    payload: &Payload,
    own: impl FnOnce() -> io::Result<()>,
) -> Result<bool, WriteError> {
    let data = volume.join(DATA);
    let old = match fs::read_link(&data) {
        Ok(target) => Some(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read the link", &data)(error)),
    };
    let stale = match &old {
        Some(old) => stale_names(&volume.join(old), payload)?,
        None => BTreeSet::new(),
    };
    let current = old
        .as_ref()
        .is_some_and(|old| stale.is_empty() && is_current(&volume.join(old), payload));
    let wrote = !current;
    if wrote {
        publish(volume, payload, own)?;
    }

    for path in payload.keys() {
        let name = path.split('/').next().unwrap_or(path);
        let link = volume.join(name);
        if fs::read_link(&link).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            symlink(Path::new(DATA).join(name), &link).map_err(failed("make the link", &link))?;
            if let Some(user) = payload.get(path).and_then(|file| file.user) {
                std::os::unix::fs::lchown(&link, Some(user), None).map_err(failed("own", &link))?;
            }
        }
    }
    for name in stale {
        // Only links at the root of the volume: what is deeper goes with the old folder.
        let link = volume.join(name);
        if link.parent() == Some(volume) {
            fs::remove_file(&link)
                .or_else(absent_is_fine)
                .map_err(failed("remove the link", &link))?;
        }
    }
    if let (true, Some(old)) = (wrote, old) {
        let old = volume.join(old);
        fs::remove_dir_all(&old)
            .or_else(absent_is_fine)
            .map_err(failed("remove the old folder", &old))?;
    }
    Ok(wrote)
}

/// Writes the files to a new folder and swaps it in.
fn publish(volume: &Path, payload: &Payload, own: impl FnOnce() -> io::Result<()>) -> Result<(), WriteError> {
    let folder = new_folder(volume)?;
    let result = fill(&folder, payload)
        .and_then(|()| own().map_err(failed("set the owners below", volume)))
        .and_then(|()| swap(volume, &folder));
    if result.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_dir_all(&folder);
    }
    result
}

fn new_folder(volume: &Path) -> Result<PathBuf, WriteError> {
    let stamp = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.");
    let folder = volume.join(format!("{stamp}{:010}", rand::random::<u32>()));
    fs::create_dir(&folder).map_err(failed("make the folder", &folder))?;
    chmod(&folder, 0o755)?;
    Ok(folder)
}

fn fill(folder: &Path, payload: &Payload) -> Result<(), WriteError> {
    for (path, file) in payload {
        let full = folder.join(path);
        if let Some(parent) = full.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o777)
                .create(parent)
                .map_err(failed("make the folder", parent))?;
        }
        let mut open = fs::OpenOptions::new();
        open.write(true).create_new(true).mode(0o600);
        let mut out = open.open(&full).map_err(failed("make the file", &full))?;
        io::Write::write_all(&mut out, &file.data).map_err(failed("write", &full))?;
        chmod(&full, file.mode)?;
        if let Some(user) = file.user {
            std::os::unix::fs::lchown(&full, Some(user), None).map_err(failed("own", &full))?;
        }
    }
    Ok(())
}

fn swap(volume: &Path, folder: &Path) -> Result<(), WriteError> {
    let new = volume.join(NEW_DATA);
    // Left over from a crash between the two steps below.
    fs::remove_file(&new)
        .or_else(absent_is_fine)
        .map_err(failed("remove the link", &new))?;
    let name = folder.file_name().unwrap_or_default();
    symlink(name, &new).map_err(failed("make the link", &new))?;
    fs::rename(&new, volume.join(DATA)).map_err(failed("publish the link", &new))
}

fn chmod(path: &Path, mode: u32) -> Result<(), WriteError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// True if every file of the payload is in `folder` with the same data.
fn is_current(folder: &Path, payload: &Payload) -> bool {
    payload
        .iter()
        .all(|(path, file)| fs::read(folder.join(path)).is_ok_and(|data| data == file.data))
}

/// Paths below the old folder that the payload does not have.
fn stale_names(folder: &Path, payload: &Payload) -> Result<BTreeSet<PathBuf>, WriteError> {
    let mut wanted: BTreeSet<&Path> = BTreeSet::new();
    for path in payload.keys() {
        wanted.extend(Path::new(path).ancestors());
    }
    let mut stale = BTreeSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let at = folder.join(&below);
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("list", &at)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed("list", &at))?;
            let name: OsString = entry.file_name();
            let path = below.join(name);
            if !wanted.contains(path.as_path()) {
                stale.insert(path.clone());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            }
        }
    }
    Ok(stale)
}

#[cfg(test)]
#[path = "atomic_tests.rs"]
mod tests;
