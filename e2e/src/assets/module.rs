//! The Go modules that pin the upstream programs: `e2e/upstream/*`, carried in our program so that it needs no source tree.

use std::fs;
use std::path::PathBuf;

use super::error::{At, Result};
use super::store::Layout;

/// A folder of `e2e/upstream`; programs whose dependencies clash live in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Module {
    Kubernetes,
    Etcd,
    Containerd,
    Runc,
    CoreDns,
    SampleApiserver,
}

macro_rules! files {
    ($folder:literal: $($file:literal),*) => {
        &[$(($file, include_bytes!(concat!("../../upstream/", $folder, "/", $file)))),*]
    };
}

impl Module {
    pub(super) fn name(self) -> &'static str {
        match self {
            Module::Kubernetes => "kubernetes",
            Module::Etcd => "etcd",
            Module::Containerd => "containerd",
            Module::Runc => "runc",
            Module::CoreDns => "coredns",
            Module::SampleApiserver => "sample-apiserver",
        }
    }

    /// The files that decide what is built. The tools files only tell `go mod tidy` what to keep.
    pub(super) fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Module::Kubernetes => files!("kubernetes": "go.mod", "go.sum"),
            Module::Etcd => files!("etcd": "go.mod", "go.sum", "main.go"),
            Module::Containerd => files!("containerd": "go.mod", "go.sum"),
            Module::Runc => files!("runc": "go.mod", "go.sum"),
            Module::CoreDns => files!("coredns": "go.mod", "go.sum", "main.go"),
            Module::SampleApiserver => files!("sample-apiserver": "go.mod", "go.sum"),
        }
    }

    /// Writes the module into the assets folder and says where.
    pub(super) fn unpack(self, layout: &Layout) -> Result<PathBuf> {
        let folder = layout.modules().join(self.name());
        fs::create_dir_all(&folder).at("create the folder", &folder)?;
        for (name, content) in self.files() {
            let path = folder.join(name);
            if fs::read(&path).is_ok_and(|there| there == *content) {
                continue;
            }
            let part = folder.join(format!(".{name}.{}", std::process::id()));
            fs::write(&part, content).at("write", &part)?;
            fs::rename(&part, &path).at("move into place", &path)?;
        }
        Ok(folder)
    }

    /// The version of `package` that this module requires, as its go.mod says.
    #[cfg(test)]
    pub(super) fn requires(self, package: &str) -> Option<&'static str> {
        let (_, text) = self.files().iter().find(|(name, _)| *name == "go.mod")?;
        std::str::from_utf8(text)
            .ok()?
            .lines()
            .filter(|line| !line.contains("=>"))
            .find_map(|line| {
                line.trim()
                    .trim_start_matches("require ")
                    .strip_prefix(package)?
                    .strip_prefix(' ')
            })
            .map(|rest| rest.split(' ').next().unwrap_or(rest))
    }
}
