//! Root trees of Debian packages, the ground of images whose programs are not static.

use std::process::Command;

use super::error::Result;
use super::progress::Progress;
use super::run::run;
use super::store::{Key, Layout, Slot};

const SUITE: &str = "bookworm";

/// A tree of the essential packages and `packages`, as a tar archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    pub(super) name: &'static str,
    /// Separated by commas.
    pub(super) packages: &'static str,
    /// Shell that ends the making, after [`CLEAN`]; `$1` is the tree.
    pub(super) hook: &'static str,
}

/// Neither documentation nor what only a package manager reads.
const WITHOUT: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
];
const CLEAN: &str = r#"rm -rf "$1"/var/lib/apt "$1"/var/cache/* "$1"/var/log/* "$1"/usr/share/perl \
    "$1"/usr/lib/*/perl "$1"/usr/lib/*/libperl.so*"#;

impl Tree {
    pub(super) fn slot(&self, layout: &Layout) -> Slot {
        let fields = [
            ("suite", SUITE.as_bytes()),
            ("packages", self.packages.as_bytes()),
            ("hook", self.hook.as_bytes()),
            ("clean", CLEAN.as_bytes()),
            ("machine", std::env::consts::ARCH.as_bytes()),
        ];
        let name = format!("{}-tree", self.name);
        Slot {
            path: layout.trees().join(format!("{}.tar", self.name)),
            name,
            key: Key::of(fields),
        }
    }

    /// Makes the tree unless it is there.
    pub(super) fn ensure(&self, layout: &Layout, progress: &dyn Progress) -> Result<Slot> {
        let slot = self.slot(layout);
        slot.fill(layout, progress, "about 30 s, downloads Debian packages", |out| {
            let mut command = Command::new("mmdebstrap");
            command
                .args(["--variant=essential", "--format=tar", "--include", self.packages])
                .args(
                    WITHOUT
                        .iter()
                        .map(|path| format!("--dpkgopt=path-exclude={path}")),
                )
                .args([
                    format!("--customize-hook={CLEAN}"),
                    format!("--customize-hook={}", self.hook),
                ])
                .args([SUITE.as_ref(), out.as_os_str()])
                // Same packages, same bytes.
                .env("SOURCE_DATE_EPOCH", "1");
            if let Some(mirror) = mirror() {
                command.arg(format!("deb {mirror} {SUITE} main"));
            }
            run(
                &mut command,
                &slot.name,
                "install mmdebstrap",
                &layout.log(&slot.name),
                progress,
            )
        })?;
        Ok(slot)
    }
}

/// The mirror that this machine's apt uses for Debian, if it is one; else mmdebstrap's own choice.
pub(super) fn mirror() -> Option<String> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(CODENAME) $(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .ok()?;
    main_archive(&String::from_utf8_lossy(&output.stdout))
}

/// The address in the line of Debian's main archive, whatever its release: an archive holds all of them.
fn main_archive(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let (origin, rest) = line.split_once(' ')?;
        let (codename, address) = rest.split_once(' ')?;
        (origin == "Debian" && !codename.contains('-')).then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_debians_main_archive() {
        let security = "Debian bookworm-security http://mirror.test/debian-security/\n";
        let foreign = "Other bookworm https://other.test/apt/\n";
        let main = "Debian trixie http://mirror.test/debian/\n";
        let cases = [
            (
                format!("{foreign}{security}{main}"),
                Some("http://mirror.test/debian/"),
            ),
            (format!("{foreign}{security}"), None),
            (String::new(), None),
        ];
        for (targets, want) in cases {
            assert_eq!(main_archive(&targets).as_deref(), want, "{targets}");
        }
    }

    #[test]
    fn a_tree_is_known_by_its_packages_and_its_hook() {
        let layout = Layout::new("/a");
        let tree = Tree {
            name: "t",
            packages: "curl",
            hook: "",
        };
        assert_eq!(tree.slot(&layout).key, tree.slot(&layout).key);
        assert_ne!(
            tree.slot(&layout).key,
            Tree {
                packages: "socat",
                ..tree
            }
            .slot(&layout)
            .key
        );
        assert_ne!(
            tree.slot(&layout).key,
            Tree { hook: "true", ..tree }.slot(&layout).key
        );
    }
}
