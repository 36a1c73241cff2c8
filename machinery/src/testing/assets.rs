//! Where upstream's programs are.

use std::path::{Path, PathBuf};

/// A folder with `etcd`, `kube-apiserver` and perhaps more of upstream's programs.
#[derive(Clone, Debug)]
pub struct Assets(PathBuf);

impl Assets {
    /// `KUBEBUILDER_ASSETS`, else `STEERSMAN_ASSETS/bin`, else `target/assets/bin` of this checkout.
    ///
    /// # Errors
    /// If none of them has both programs: the text says where they were looked for and how to get them.
    pub fn find() -> Result<Self, String> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap_or(Path::new("."));
        let mut looked = Vec::new();
        let places = [
            variable("KUBEBUILDER_ASSETS"),
            variable("STEERSMAN_ASSETS").map(|assets| assets.join("bin")),
            Some(checkout.join("target/assets/bin")),
        ];
        for folder in places.into_iter().flatten() {
            if ["etcd", "kube-apiserver"]
                .iter()
                .all(|name| folder.join(name).is_file())
            {
                return Ok(Assets(folder));
            }
            looked.push(folder.display().to_string());
        }
        Err(format!(
            "etcd and kube-apiserver are in none of {}; build them with `rig assets`, or point KUBEBUILDER_ASSETS at them",
            looked.join(", ")
        ))
    }

    /// The path of a program.
    ///
    /// # Errors
    /// If it is not there.
    pub fn program(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(format!(
            "{} is missing; build it with `rig assets {name}`",
            path.display()
        ))
    }
}

/// Whether a test that lacks something may be skipped: says so, unless this is CI or `STEERSMAN_REQUIRE_ASSETS` is set.
///
/// # Panics
/// In CI, with `why`: a test that cannot run there has failed.
#[allow(clippy::panic)] // for tests, where that is how to fail
pub fn skip(why: &str) {
    let set = |name: &str| {
        std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
    };
    if set("CI") || set("STEERSMAN_REQUIRE_ASSETS") {
        panic!("{why}");
    }
    eprintln!("skipped: {why}");
}
