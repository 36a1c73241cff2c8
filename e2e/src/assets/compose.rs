//! Makes an image's archive of its recipe.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{At, Error, Result};
use super::image::{Image, Part, SOURCE, SOURCE_PACKAGE};
use super::layer::{Layer, Writer};
use super::program::Program;
use super::progress::Progress;
use super::run::run;
use super::store::Layout;
use super::{busybox, go, oci};

/// What the parts of a layer are taken from.
pub(super) struct Kitchen<'a> {
    pub(super) layout: &'a Layout,
    pub(super) progress: &'a dyn Progress,
    pub(super) program: &'a dyn Fn(Program) -> PathBuf,
}

impl Kitchen<'_> {
    /// Makes the archive of `image` at `out`. The trees that it stands on are made first if need be.
    pub(super) fn compose(&self, image: Image, out: &Path) -> Result<()> {
        let recipe = image.recipe();
        let scratch = Scratch::create(out)?;
        let layer = self.layer(image, recipe.layer, &scratch.0)?;
        oci::write(out, image.references(), &recipe.config, &layer)
    }

    fn layer(&self, image: Image, parts: &[Part], scratch: &Path) -> Result<Layer> {
        let mut writer = Writer::create(&scratch.join("layer"))?;
        for part in parts {
            match *part {
                Part::Tree(tree) => writer.tree(&tree.ensure(self.layout, self.progress)?.path)?,
                Part::Program(program, to) => writer.file(to, 0o755, &(self.program)(program))?,
                Part::SetUid(program, to) => writer.file(to, 0o6755, &(self.program)(program))?,
                Part::Source { file, to, mode } => writer.file(to, mode, &self.source()?.join(file))?,
                Part::Compiled { source, to } => {
                    writer.file(to, 0o755, &self.compile(image, source, scratch)?)?;
                }
                Part::Busybox => {
                    commands(&mut writer, &busybox::ensure(self.layout, self.progress)?.path)?;
                }
                Part::Folder { path, mode } => writer.folder(path, mode)?,
                Part::Bytes { path, content } => writer.bytes(path, 0o644, content.as_bytes())?,
                Part::Link { path, to } => writer.link(path, to)?,
            }
        }
        writer.finish()
    }

    fn source(&self) -> Result<PathBuf> {
        go::source(SOURCE, SOURCE_PACKAGE, self.layout, self.progress)
    }

    fn compile(&self, image: Image, source: &str, scratch: &Path) -> Result<PathBuf> {
        let out = scratch.join("compiled");
        let mut command = Command::new("gcc");
        let version = image.reference().rsplit_once(':').map_or("", |(_, tag)| tag);
        command
            .args(["-Os", "-Wall", "-static", "-s"])
            .arg(format!("-DVERSION=v{version}"));
        command.arg("-o").arg(&out).arg(self.source()?.join(source));
        let what = format!("{}-image", image.name());
        run(
            &mut command,
            &what,
            "install gcc",
            &self.layout.log(&what),
            self.progress,
        )?;
        Ok(out)
    }
}

/// A folder beside an asset that is being made, gone when it is done.
struct Scratch(PathBuf);

impl Scratch {
    fn create(out: &Path) -> Result<Scratch> {
        let path = out.with_extension("scratch");
        if path.exists() {
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
        fs::create_dir_all(&path).at("create the folder", &path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `/bin/busybox` and a link for each command that it lists.
fn commands(writer: &mut Writer, path: &Path) -> Result<()> {
    if !is_static(File::open(path).at("open", path)?).at("read", path)? {
        return Err(Error::NotStatic {
            path: path.to_owned(),
        });
    }
    writer.file("bin/busybox", 0o755, path)?;
    let list = Command::new(path)
        .arg("--list")
        .output()
        .at("ask for the commands of", path)?;
    for command in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|c| *c != "busybox")
    {
        writer.link(&format!("bin/{command}"), "busybox")?;
    }
    Ok(())
}

/// Whether a 64-bit little-endian ELF program asks for no interpreter, so runs where there are no shared libraries.
/// <https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html>
fn is_static(program: impl Read) -> std::io::Result<bool> {
    const INTERPRETER: u32 = 3;
    let mut head = Vec::new();
    program.take(64 * 1024).read_to_end(&mut head)?;
    let number = |at: usize, bytes: usize| {
        let field = head.get(at..at + bytes)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
        )
    };
    let headers = || {
        let (start, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        (0..count)
            .map(|i| number(usize::try_from(start + i * size).ok()?, 4))
            .collect::<Option<Vec<u64>>>()
    };
    let elf = head.starts_with(b"\x7fELF\x02\x01");
    Ok(elf && headers().is_some_and(|kinds| !kinds.contains(&u64::from(INTERPRETER))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF head with program headers of these kinds.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[0x20] = 64;
        head[0x36] = 56;
        head[0x38] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            head.extend(kind.to_le_bytes());
            head.extend([0; 52]);
        }
        head
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        for (name, program, want) in [
            ("load only", elf(&[1, 4]), true),
            ("an interpreter", elf(&[6, 3, 1]), false),
            ("cut off", elf(&[1, 4])[..80].to_vec(), false),
            ("a script", b"#!/bin/sh\n".to_vec(), false),
            ("nothing", Vec::new(), false),
        ] {
            assert_eq!(is_static(program.as_slice()).unwrap(), want, "{name}");
        }
    }
}
