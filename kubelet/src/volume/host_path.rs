//! hostPath volumes: a path of the machine, checked against the type the pod expects.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Checks `path` against a hostPath `type`, and makes what an `...OrCreate` type asks for.
///
/// # Errors
/// Upstream's words for what is not as expected.
pub(crate) fn check(path: &str, expected: &str) -> Result<(), String> {
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid HostPath `{path}`: must not contain '..'"));
    }
    let at = Path::new(path);
    match expected {
        "" => return Ok(()),
        "DirectoryOrCreate" if !at.exists() => {
            return made(path, DirBuilder::new().recursive(true).mode(0o755).create(at));
        }
        "FileOrCreate" if !at.exists() => {
            let mut options = OpenOptions::new();
            return made(
                path,
                options.create(true).append(true).mode(0o644).open(at).map(drop),
            );
        }
        _ => {}
    }
    let kind = fs::metadata(at).map(|meta| meta.file_type()).ok();
    let (is, what) = match expected {
        "DirectoryOrCreate" | "Directory" => (kind.is_some_and(|kind| kind.is_dir()), "a directory"),
        "FileOrCreate" | "File" => (kind.is_some_and(|kind| kind.is_file()), "a file"),
        "Socket" => (kind.is_some_and(|kind| kind.is_socket()), "a socket file"),
        "CharDevice" => (
            kind.is_some_and(|kind| kind.is_char_device()),
            "a character device",
        ),
        "BlockDevice" => (kind.is_some_and(|kind| kind.is_block_device()), "a block device"),
        _ => return Err(format!("{expected} is an invalid volume type")),
    };
    if is {
        Ok(())
    } else {
        Err(format!("hostPath type check failed: {path} is not {what}"))
    }
}

fn made(path: &str, result: io::Result<()>) -> Result<(), String> {
    result.map_err(|error| format!("cannot create hostPath {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (file, folder, none) = (at("file"), at("folder"), at("none"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        for (path, expected, good) in [
            (&none, "", true),
            (&file, "File", true),
            (&file, "FileOrCreate", true),
            (&file, "Directory", false),
            (&file, "DirectoryOrCreate", false),
            (&folder, "Directory", true),
            (&folder, "File", false),
            (&file, "Socket", false),
            (&none, "Directory", false),
            (&none, "File", false),
            (&file, "Nonsense", false),
        ] {
            assert_eq!(check(path, expected).is_ok(), good, "{path} as {expected:?}");
        }
        check(&at("new/folder"), "DirectoryOrCreate").unwrap();
        assert!(Path::new(&at("new/folder")).is_dir());
        check(&at("new/file"), "FileOrCreate").unwrap();
        assert!(Path::new(&at("new/file")).is_file());
        check("/dev/null", "CharDevice").unwrap();
        assert_eq!(
            check(&none, "Directory").unwrap_err(),
            format!("hostPath type check failed: {none} is not a directory")
        );
        assert!(check("/a/../b", "").is_err());
    }
}
