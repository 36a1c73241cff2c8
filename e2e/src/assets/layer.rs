//! The one layer of an image: a tar archive, written entry by entry while its digest is taken.
//!
//! The same entries give the same bytes: owner root, time 0.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{At, Result};

/// A layer that is being written.
pub(super) struct Writer {
    path: PathBuf,
    tar: tar::Builder<Hashing<BufWriter<File>>>,
}

/// A layer that is complete.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    /// SHA-256 in hex.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Writer> {
        let file = File::create(path).at("create the layer", path)?;
        let tar = tar::Builder::new(Hashing {
            to: BufWriter::new(file),
            hash: Sha256::new(),
            size: 0,
        });
        Ok(Writer {
            path: path.to_owned(),
            tar,
        })
    }

    /// All entries of the tar archive `tree` but its devices, which a runtime provides.
    pub(super) fn tree(&mut self, tree: &Path) -> Result<()> {
        let mut archive = tar::Archive::new(BufReader::new(File::open(tree).at("open the tree", tree)?));
        for entry in archive.entries().at("read the tree", tree)? {
            let mut entry = entry.at("read the tree", tree)?;
            let path = entry.path().at("read a name in the tree", tree)?.into_owned();
            let path = path.strip_prefix(".").unwrap_or(&path);
            if path.as_os_str().is_empty() || path.starts_with("dev") {
                continue;
            }
            let mut header = entry.header().clone();
            header.set_mtime(0);
            let link = entry
                .link_name()
                .at("read a link in the tree", tree)?
                .map(|l| l.into_owned());
            let hard = header.entry_type() == tar::EntryType::Link;
            match link {
                Some(link) => {
                    let target = if hard {
                        link.strip_prefix(".").unwrap_or(&link)
                    } else {
                        &link
                    };
                    self.tar.append_link(&mut header, path, target)
                }
                None => self.tar.append_data(&mut header, path, &mut entry),
            }
            .at("write the layer", &self.path)?;
        }
        Ok(())
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        self.tar
            .append_data(&mut header, path, io::empty())
            .at("write the layer", &self.path)
    }

    /// The file `from` of this machine as `path`.
    pub(super) fn file(&mut self, path: &str, mode: u32, from: &Path) -> Result<()> {
        let file = File::open(from).at("open", from)?;
        let size = file.metadata().at("look at", from)?.len();
        let mut header = header(tar::EntryType::Regular, mode, size);
        self.tar
            .append_data(&mut header, path, file)
            .at("write the layer", &self.path)
    }

    pub(super) fn bytes(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        self.tar
            .append_data(&mut header, path, content)
            .at("write the layer", &self.path)
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.tar
            .append_link(&mut header, path, target)
            .at("write the layer", &self.path)
    }

    pub(super) fn finish(self) -> Result<Layer> {
        let Writer { path, tar } = self;
        let mut hashing = tar.into_inner().at("write the layer", &path)?;
        hashing.flush().at("write the layer", &path)?;
        Ok(Layer {
            path,
            digest: format!("{:x}", hashing.hash.finalize()),
            size: hashing.size,
        })
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The digest of `content`, SHA-256 in hex, and its length.
pub(super) fn digest(mut content: impl Read) -> io::Result<(String, u64)> {
    let mut hashing = Hashing {
        to: io::sink(),
        hash: Sha256::new(),
        size: 0,
    };
    io::copy(&mut content, &mut hashing)?;
    Ok((format!("{:x}", hashing.hash.finalize()), hashing.size))
}

/// Passes on what is written, and remembers its digest and length.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.to.write(buf)?;
        self.hash.update(buf.get(..n).unwrap_or(buf));
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
