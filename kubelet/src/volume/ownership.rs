//! Gives a volume to the pod's `fsGroup`.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const SEARCH: u32 = 0o110;
const SETGID: u32 = 0o2000;

/// What `fsGroup` adds to the mode of a file or folder of a volume.
fn added(is_folder: bool, read_only: bool) -> u32 {
    let access = if read_only { READ_ONLY } else { READ_WRITE };
    if is_folder {
        access | SEARCH | SETGID
    } else {
        access
    }
}

/// Gives everything in `root`, and `root` itself last, to `group`. What the volume holds may be anything, so links are
/// never followed. A file that cannot be changed does not stop the others, as upstream.
///
/// # Errors
/// If the volume cannot be listed.
pub(crate) fn give(root: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(root)?;
    if meta.is_dir() {
        for entry in fs::read_dir(root)? {
            give(&entry?.path(), group, read_only)?;
        }
    }
    if let Err(error) = change(root, &meta, group, read_only) {
        tracing::warn!(path = %root.display(), group, %error, "cannot give a volume's file to fsGroup");
    }
    Ok(())
}

fn change(path: &Path, meta: &Metadata, group: u32, read_only: bool) -> io::Result<()> {
    lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.mode() & 0o7777 | added(meta.is_dir(), read_only);
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// For `fsGroupChangePolicy: OnRootMismatch`: true if the root already is as [`give`] would leave it.
pub(crate) fn is_given(root: &Path, group: u32, read_only: bool) -> bool {
    fs::symlink_metadata(root).is_ok_and(|meta| {
        let wanted = added(true, read_only);
        meta.is_dir() && meta.gid() == group && meta.mode() & wanted == wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_gain_what_the_group_needs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("f"), "").unwrap();
        fs::set_permissions(root.join("f"), Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let before = fs::metadata("/etc/passwd").unwrap().mode();
        let group = fs::metadata(&root).unwrap().gid();

        assert!(!is_given(&root, group, false));
        give(&root, group, false).unwrap();
        assert!(is_given(&root, group, false));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&root), 0o2775);
        assert_eq!(mode(&root.join("f")), 0o660);
        assert_eq!(fs::metadata("/etc/passwd").unwrap().mode(), before);

        fs::set_permissions(root.join("f"), Permissions::from_mode(0o600)).unwrap();
        give(&root, group, true).unwrap();
        assert_eq!(mode(&root.join("f")), 0o640);
    }
}
