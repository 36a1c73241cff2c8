//! Sub-paths of volumes. What is in a volume may be changed by the pod at any moment, so nothing is looked up by name
//! outside of the volume: openat2(2) keeps every step of the way, links included, beneath the volume's root.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};

use super::mounts;

const CONFINED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Opens the root of a volume. It is the kubelet's own path and may lead over links.
fn open_root(volume: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open(volume, flags, Mode::empty())?)
}

/// Opens `below` within `volume` as a bare location.
///
/// # Errors
/// As `openat2(2)`; leading out of the volume is one.
pub(crate) fn open(volume: &Path, below: &Path) -> io::Result<OwnedFd> {
    Ok(openat2(
        open_root(volume)?,
        below,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        CONFINED,
    )?)
}

/// Reads a file within `volume`.
///
/// # Errors
/// As [`open`], or if it is not text.
pub(crate) fn read(volume: &Path, below: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(open_root(volume)?, below, flags, Mode::empty(), CONFINED)?;
    let mut text = String::new();
    File::from(file).take(16 << 20).read_to_string(&mut text)?;
    Ok(text)
}

/// Makes the folders of `below` that are missing, with the mode of the volume's root.
///
/// # Errors
/// As [`open`].
pub(crate) fn make(volume: &Path, below: &Path) -> io::Result<()> {
    let mode = fs::metadata(volume)?.mode() & 0o7777;
    let mut at = open_root(volume)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for part in below
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
    {
        let name = Path::new(part.as_os_str());
        at = match openat2(&at, name, flags, Mode::empty(), CONFINED) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => {
                match mkdirat(&at, name, Mode::from_raw_mode(0o700)) {
                    // Somebody else was faster.
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let made = openat2(
                    &at,
                    name,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    Mode::empty(),
                    CONFINED | ResolveFlags::NO_SYMLINKS,
                )?;
                // Whatever the umask is.
                rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))?;
                made
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(())
}

/// Where a container's sub-path is bound: `POD/volume-subpaths/VOLUME/CONTAINER/INDEX`.
pub(crate) fn target(pod: &Path, volume: &str, container: &str, index: usize) -> PathBuf {
    pod.join(FOLDER)
        .join(volume)
        .join(container)
        .join(index.to_string())
}

pub(crate) const FOLDER: &str = "volume-subpaths";

/// Binds `below` of `volume` to `target`, or leaves it if it is bound there already.
///
/// # Errors
/// As [`open`] and `mount(2)`.
pub(crate) fn bind(volume: &Path, below: &Path, target: &Path) -> io::Result<()> {
    let source = open(volume, below)?;
    let found = rustix::fs::fstat(source.as_fd())?;
    match mounts::is_mount_point(target) {
        Ok(true) => {
            let bound = fs::symlink_metadata(target)?;
            if (bound.dev(), bound.ino()) == (found.st_dev, found.st_ino) {
                return Ok(());
            }
            // A container before this one had something else here.
            rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH)?;
        }
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(parent) = target.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(parent)?;
    }
    let is_folder = rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir();
    match fs::symlink_metadata(target) {
        Ok(there) if there.is_dir() == is_folder => {}
        Ok(there) if there.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(_) => {}
    }
    if is_folder {
        DirBuilder::new().recursive(true).mode(0o750).create(target)?;
    } else if fs::symlink_metadata(target).is_err() {
        // A file will do for whatever is bound over it: socket, pipe, device.
        fs::OpenOptions::new().write(true).create_new(true).open(target)?;
    }
    mounts::bind(source, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn volume() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("v")).unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        dir
    }

    #[test]
    fn nothing_leads_out_of_a_volume() {
        let dir = volume();
        let root = dir.path().join("v");
        fs::write(root.join("file"), "inside").unwrap();
        symlink("file", root.join("good")).unwrap();
        symlink("../secret", root.join("bad")).unwrap();
        symlink("/etc", root.join("abs")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        assert_eq!(read(&root, Path::new("good")).unwrap(), "inside");
        for below in [
            "bad",
            "abs/passwd",
            "magic/etc/passwd",
            "../secret",
            "/etc/passwd",
        ] {
            assert!(open(&root, Path::new(below)).is_err(), "{below}");
            assert!(read(&root, Path::new(below)).is_err(), "{below}");
        }
    }

    #[test]
    fn missing_folders_are_made_with_the_mode_of_the_root() {
        let dir = volume();
        let root = dir.path().join("v");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o2775)).unwrap();
        make(&root, Path::new("a/b/c")).unwrap();
        make(&root, Path::new("a/b/c")).unwrap();
        assert_eq!(fs::metadata(root.join("a/b/c")).unwrap().mode() & 0o7777, 0o2775);
        symlink("..", root.join("up")).unwrap();
        assert!(make(&root, Path::new("up/escaped")).is_err());
        assert!(!dir.path().join("escaped").exists());
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = volume();
        let root = dir.path().join("v");
        fs::write(root.join("file"), "").unwrap();
        assert!(make(&root, Path::new("file/below")).is_err());
    }
}
