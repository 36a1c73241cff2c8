//! The mounts a pod's volumes are made of, as the kernel knows them.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

/// True if something is mounted on `path` itself.
///
/// # Errors
/// As `statx(2)`.
pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let found = statx(
        CWD,
        path,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
        StatxFlags::TYPE,
    )?;
    if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Before Linux 5.8.
    Ok(below(path)?.iter().any(|mounted| mounted == path))
}

/// Mounts a tmpfs on `path`, `size` bytes at most (0: the kernel's own limit), not to be swapped out where the kernel
/// can promise that (Linux 6.4).
///
/// # Errors
/// As `mount(2)`.
pub(crate) fn tmpfs(path: &Path, size: u64) -> io::Result<()> {
    let mut options = Vec::new();
    if size > 0 {
        options.push(format!("size={size}"));
    }
    let plain = options.join(",");
    options.push("noswap".to_owned());
    match filesystem("tmpfs", path, &options.join(",")) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            filesystem("tmpfs", path, &plain)
        }
        result => result,
    }
}

/// Mounts huge pages of `size` bytes on `path`.
///
/// # Errors
/// As `mount(2)`.
pub(crate) fn huge_pages(path: &Path, size: u64) -> io::Result<()> {
    filesystem("hugetlbfs", path, &format!("pagesize={size}"))
}

fn filesystem(kind: &str, path: &Path, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(rustix::mount::mount(
        kind,
        path,
        kind,
        MountFlags::empty(),
        options.as_c_str(),
    )?)
}

/// Binds what `source` has open to `target`: whatever path led to it may have been changed since.
///
/// # Errors
/// As `mount(2)`.
pub(crate) fn bind(source: impl AsFd, target: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let source = format!("/proc/self/fd/{}", source.as_fd().as_raw_fd());
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Unmounts everything at or below `root`, the deepest first.
///
/// # Errors
/// The first mount that is in use.
pub(crate) fn unmount_below(root: &Path) -> io::Result<()> {
    let mut mounted = below(root)?;
    mounted.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for path in mounted {
        match rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW) {
            // Gone already, with the one above it.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => {
                return Err(io::Error::new(
                    io::Error::from(error).kind(),
                    format!("cannot unmount {}: {error}", path.display()),
                ));
            }
        }
    }
    Ok(())
}

/// Every mount point at or below `root`, in the order they were made; one that is mounted over is there twice.
///
/// # Errors
/// If the kernel's table cannot be read.
pub(crate) fn below(root: &Path) -> io::Result<Vec<PathBuf>> {
    // The table has resolved paths.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(points(&table).filter(|point| point.starts_with(&root)).collect())
}

/// The mount points of a mountinfo table (proc_pid_mountinfo(5)): the fifth field of each line.
fn points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(std::ffi::OsString::from_vec(unescape(field))))
}

/// Blanks and backslashes are written in octal.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_and_unescaped() {
        let table = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            30 22 0:25 / /var/lib/k\\040x/a\\134b rw - tmpfs tmpfs rw\n\nshort line\n";
        let found: Vec<_> = points(table).collect();
        assert_eq!(found, [PathBuf::from("/"), PathBuf::from("/var/lib/k x/a\\b")]);
    }

    #[test]
    fn a_plain_folder_is_no_mount_point_and_proc_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(dir.path()).unwrap());
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(is_mount_point(&dir.path().join("none")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_read_without_panic(table in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = points(&table).count();
        }
    }
}
