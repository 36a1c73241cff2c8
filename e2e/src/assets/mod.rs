//! The upstream programs and container images that a cluster is made of, made on this machine from package
//! registries alone: Go modules, crates and Debian packages.
//!
//! ```text
//! Program -> go build of a pinned module ---------> bin/NAME
//! Image   -> programs, Debian trees, own files ---> images/NAME.tar   (OCI archive)
//! ```
//! [`ensure`] makes what is asked for and is not there yet. Each asset has a key, the digest of all that it is made
//! from: a second call finds it and takes milliseconds, also from another process, and an interrupted one leaves
//! nothing that the next would take for whole. Everything here blocks: call it from a thread that may wait.

mod busybox;
mod compose;
mod debian;
mod error;
mod go;
mod image;
mod layer;
mod module;
mod oci;
mod packages;
mod program;
mod progress;
mod run;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use error::{Error, Result};
pub use image::Image;
pub use packages::{Stage, require};
pub use program::Program;
pub use progress::{Progress, Quiet, Step, Terminal};
pub use store::Layout;

use compose::Kitchen;
use image::Part;
use store::Key;

/// Something that [`ensure`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    Program(Program),
    Image(Image),
}

impl From<Program> for Asset {
    fn from(program: Program) -> Asset {
        Asset::Program(program)
    }
}

impl From<Image> for Asset {
    fn from(image: Image) -> Asset {
        Asset::Image(image)
    }
}

/// What [`ensure`] was asked for, by path.
#[derive(Debug, Clone)]
pub struct Assets {
    programs: BTreeMap<Program, PathBuf>,
    images: BTreeMap<Image, PathBuf>,
    layout: Layout,
}

impl Assets {
    /// # Errors
    /// If it was not asked for.
    pub fn program(&self, program: Program) -> Result<&Path> {
        self.programs
            .get(&program)
            .map(PathBuf::as_path)
            .ok_or(Error::NotAsked { what: program.name() })
    }

    /// The OCI archive of an image, under all its names.
    ///
    /// # Errors
    /// If it was not asked for.
    pub fn image(&self, image: Image) -> Result<&Path> {
        self.images
            .get(&image)
            .map(PathBuf::as_path)
            .ok_or(Error::NotAsked { what: image.name() })
    }

    /// Every image that was asked for.
    pub fn images(&self) -> impl Iterator<Item = (Image, &Path)> {
        self.images.iter().map(|(image, path)| (*image, path.as_path()))
    }

    /// The folder of the archives.
    pub fn images_folder(&self) -> PathBuf {
        self.layout.images()
    }

    /// The folder of the programs that we built: CNI plugins and containerd's shim are found there by their names.
    pub fn bin(&self) -> PathBuf {
        self.layout.bin()
    }
}

/// Makes what is `wanted` and is not there yet: programs first, in the order of [`Program`], then images.
///
/// A program that the user has in the folder `KUBEBUILDER_ASSETS` is taken from there.
///
/// # Errors
/// [`Error::Packages`] if the machine lacks a compiler or the like and we may not install it; [`Error::Failed`] with
/// the program's name, its log and its last lines.
pub fn ensure(layout: &Layout, wanted: &[Asset], progress: &dyn Progress) -> Result<Assets> {
    let folder = given(layout);
    let given = |program: Program| program.given(folder.as_deref());
    let (programs, images) = closure(wanted);

    let build: Vec<Program> = programs
        .iter()
        .copied()
        .filter(|p| given(*p).is_none() && !p.slot(layout).ready())
        .collect();
    let key =
        |program: Program| given(program).map_or_else(|| program.recipe().key(), |path| key_of_file(&path));
    let compose: Vec<Image> = images
        .iter()
        .copied()
        .filter(|i| !i.slot(layout, key).ready())
        .collect();

    let mut stages = Vec::new();
    if !build.is_empty() {
        stages.push(Stage::Go);
    }
    if !compose.is_empty() {
        stages.extend([Stage::Go, Stage::Images]);
    }
    if !stages.is_empty() {
        stages.dedup();
        let _lock = layout.lock("packages", progress)?;
        require(&stages, progress)?;
    }
    for program in build {
        let recipe = program.recipe();
        let slot = program.slot(layout);
        slot.fill(layout, progress, recipe.hint, |out| {
            go::build(&recipe, &slot.name, out, layout, progress)
        })?;
    }
    let path = |program: Program| given(program).unwrap_or_else(|| layout.bin().join(program.name()));
    let kitchen = Kitchen {
        layout,
        progress,
        program: &path,
    };
    for image in compose {
        let hint = if image.stands_on_debian() {
            "about 1 min"
        } else {
            "a few seconds"
        };
        image
            .slot(layout, key)
            .fill(layout, progress, hint, |out| kitchen.compose(image, out))?;
    }
    Ok(Assets {
        programs: programs.into_iter().map(|p| (p, path(p))).collect(),
        images: images
            .into_iter()
            .map(|i| (i, i.slot(layout, key).path))
            .collect(),
        layout: layout.clone(),
    })
}

/// The user's own folder of programs, if there is one and it is not ours.
fn given(layout: &Layout) -> Option<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").filter(|v| !v.is_empty())?;
    std::path::absolute(folder)
        .ok()
        .filter(|folder| *folder != layout.bin())
}

/// What is wanted and the programs inside the wanted images.
fn closure(wanted: &[Asset]) -> (BTreeSet<Program>, BTreeSet<Image>) {
    let mut programs = BTreeSet::new();
    let mut images = BTreeSet::new();
    for asset in wanted {
        match *asset {
            Asset::Program(program) => _ = programs.insert(program),
            Asset::Image(image) => {
                images.insert(image);
                programs.extend(image.recipe().layer.iter().filter_map(|part| match part {
                    Part::Program(program, _) | Part::SetUid(program, _) => Some(*program),
                    _ => None,
                }));
            }
        }
    }
    (programs, images)
}

/// Stands for a program that the user brought: its path, size and time of change.
fn key_of_file(path: &Path) -> Key {
    let about = std::fs::metadata(path).ok().map(|m| (m.len(), m.modified().ok()));
    Key::of([("file", format!("{} {about:?}", path.display()).as_bytes())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_wants_the_programs_in_it() {
        let (programs, images) = closure(&[Image::Agnhost.into(), Program::Etcd.into(), Image::Pause.into()]);
        assert_eq!(
            programs.into_iter().collect::<Vec<_>>(),
            [Program::Etcd, Program::Agnhost]
        );
        assert_eq!(
            images.into_iter().collect::<Vec<_>>(),
            [Image::Pause, Image::Agnhost]
        );
    }

    #[test]
    fn what_was_not_asked_for_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let assets = ensure(&Layout::new(dir.path()), &[], &Quiet).unwrap();
        assert!(
            assets
                .program(Program::Runc)
                .unwrap_err()
                .to_string()
                .starts_with("runc ")
        );
        assert!(
            assets
                .image(Image::Nginx)
                .unwrap_err()
                .to_string()
                .starts_with("nginx ")
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "asking for nothing makes nothing"
        );
    }
}
