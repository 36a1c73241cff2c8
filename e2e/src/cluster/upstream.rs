//! Upstream's programs and images for a rig, made or found.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::assets::{self, Asset, Assets, Image, Layout, Program, Progress};
use crate::plan::site::Folder;

/// Images that every node has: the sandbox, the cluster's DNS, and what tests and a first try need.
pub const IMAGES: [Image; 4] = [Image::Pause, Image::CoreDns, Image::Busybox, Image::Agnhost];

/// The word for everything that the conformance tests need beside what a cluster is made of.
pub const CONFORMANCE: &str = "conformance";

/// Upstream's programs that a cluster is made of, and [`IMAGES`]. Takes a quarter of an hour on a fresh machine, then milliseconds. Blocks.
pub fn ensure(layout: &Layout, progress: &dyn Progress) -> Result<Assets> {
    let programs = programs().map(Asset::from);
    let wanted: Vec<Asset> = programs.chain(IMAGES.map(Asset::from)).collect();
    Ok(assets::ensure(layout, &wanted, progress)?)
}

fn programs() -> impl Iterator<Item = Program> {
    Program::ALL
        .iter()
        .copied()
        .filter(|program| program.is_of_cluster())
}

/// The test program, and every image that the conformance tests run. Blocks.
pub fn ensure_conformance(layout: &Layout, progress: &dyn Progress) -> Result<Assets> {
    Ok(assets::ensure(layout, &conformance(), progress)?)
}

fn conformance() -> Vec<Asset> {
    let images = Image::ALL.iter().copied().map(Asset::from);
    std::iter::once(Program::E2eTest.into()).chain(images).collect()
}

/// What is called `names`, a program's name, an image's or [`CONFORMANCE`]; all of a cluster's if there are none.
pub fn ensure_named(layout: &Layout, names: &[String], progress: &dyn Progress) -> Result<()> {
    let all = || {
        let programs = Program::ALL
            .iter()
            .map(|program| (program.name(), Asset::from(*program)));
        programs.chain(Image::ALL.iter().map(|image| (image.name(), Asset::from(*image))))
    };
    let mut wanted: Vec<Asset> = Vec::new();
    for name in names {
        if name == CONFORMANCE {
            wanted.extend(conformance());
            continue;
        }
        let known: Vec<Asset> = all()
            .filter(|(known, _)| known == name)
            .map(|(_, asset)| asset)
            .collect();
        if known.is_empty() {
            let names: Vec<&str> = all().map(|(name, _)| name).collect();
            bail!(
                "no asset is called {name:?}: there are {}, and {CONFORMANCE} for all that the conformance tests need",
                names.join(", ")
            );
        }
        wanted.extend(known);
    }
    if names.is_empty() {
        let images = Image::CLUSTER.iter().copied().map(Asset::from);
        wanted = programs().map(Asset::from).chain(images).collect();
    }
    assets::ensure(layout, &wanted, progress)?;
    Ok(())
}

/// Gathers the programs, wherever they are, in one folder of the rig.
pub fn gather(folder: &Folder, assets: &Assets) -> Result<()> {
    let upstream = folder.upstream();
    std::fs::create_dir_all(&upstream).with_context(|| format!("making {}", upstream.display()))?;
    for program in programs() {
        let (path, link) = (assets.program(program)?, upstream.join(program.name()));
        symlink(path, &link).with_context(|| format!("linking {} to {}", link.display(), path.display()))?;
    }
    Ok(())
}

/// Archives of [`IMAGES`].
pub fn archives(assets: &Assets) -> Result<Vec<PathBuf>> {
    IMAGES
        .iter()
        .map(|image| Ok(assets.image(*image)?.to_owned()))
        .collect()
}
