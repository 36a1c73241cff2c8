//! Room on the disks that a run writes to.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// On a disk with less, etcd and containers fail, and tests wait in vain until their time is up.
const LEAST: u64 = 32 << 20;

/// Fails if there is hardly any.
pub(super) fn check(folder: &Path) -> Result<()> {
    let disk =
        rustix::fs::statvfs(folder).with_context(|| format!("asking for room at {}", folder.display()))?;
    enough(folder, disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn enough(folder: &Path, room: u64) -> Result<()> {
    if room < LEAST {
        bail!(
            "the disk of {} is full ({} KiB left): make room there first",
            folder.display(),
            room >> 10
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named() {
        let folder = Path::new("/somewhere/results");
        assert!(enough(folder, LEAST).is_ok());
        let told = enough(folder, 4096).unwrap_err().to_string();
        assert_eq!(
            told,
            "the disk of /somewhere/results is full (4 KiB left): make room there first"
        );
        assert!(check(&std::env::temp_dir()).is_ok());
        assert!(check(Path::new("/is/not/there")).is_err());
    }
}
