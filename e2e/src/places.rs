//! Where things are, when nobody says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::assets::Layout;
use crate::plan::site::Folder;

/// The folder of the checkout that we are in, or that this program was built in.
pub fn checkout() -> Result<PathBuf> {
    let here = std::env::current_dir().context("reading the current folder")?;
    let exe = std::env::current_exe().context("finding this program")?;
    let is_checkout =
        |folder: &&Path| folder.join("e2e/Cargo.toml").exists() && folder.join("Cargo.lock").exists();
    Ok(here
        .ancestors()
        .find(is_checkout)
        .or_else(|| exe.ancestors().find(is_checkout))
        .unwrap_or(&here)
        .to_owned())
}

/// The state folder: as given, or `target/rig` of the checkout. Absolute and resolved, whether it exists or not.
pub fn state(given: Option<PathBuf>) -> Result<Folder> {
    let folder = match given {
        Some(given) => given,
        None => checkout()?.join("target/rig"),
    };
    resolve(&folder).map(Folder::new)
}

fn resolve(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))?;
    let there = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"));
    let rest = path.strip_prefix(there).context("an ancestor is a prefix")?;
    let there = there
        .canonicalize()
        .with_context(|| format!("resolving {}", there.display()))?;
    Ok(if rest.as_os_str().is_empty() {
        there
    } else {
        there.join(rest)
    })
}

/// Our programs: as given, beside this program, or in `target/release`.
pub fn ours(given: Option<PathBuf>) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding this program")?;
    let beside = exe
        .parent()
        .filter(|folder| folder.join("kubelet").exists())
        .map(Path::to_owned);
    match given.or(beside) {
        Some(folder) => resolve(&folder),
        None => resolve(&checkout()?.join("target/release")),
    }
}

/// Upstream's programs and the images: `STEERSMAN_ASSETS`, or `target/assets` of the checkout.
pub fn assets() -> Result<Layout> {
    Ok(Layout::from_env(checkout()?.join("target/assets")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_has_one_name_whether_it_exists_or_not() {
        let temporary = tempfile::tempdir().unwrap();
        let real = temporary.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink(real.join("a"), real.join("link")).unwrap();
        let before = resolve(&real.join("link/rig")).unwrap();
        std::fs::create_dir(real.join("a/rig")).unwrap();
        assert_eq!(before, resolve(&real.join("link/rig")).unwrap());
        assert_eq!(before, real.join("a/rig"));
    }
}
