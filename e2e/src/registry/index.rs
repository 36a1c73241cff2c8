//! What the archives hold, and where: they are not compressed, so a blob is a range of a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A blob's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) archive: PathBuf,
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u64,
}

/// The content of one or several archives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// By digest, `sha256:...`.
    blobs: BTreeMap<String, Blob>,
    /// Digest of a manifest by full reference, `registry.k8s.io/pause:3.10.2`.
    manifests: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Layout {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads every archive in `folder`. One that is not whole is left out.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut index = Self::default();
        let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.ends_with(".tar")
                && !name.starts_with('.')
                && let Err(error) = index.add(&path)
            {
                tracing::warn!("{}: {error:#}", path.display());
            }
        }
        Ok(index)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).context("opening the archive")?;
        let mut archive = tar::Archive::new(BufReader::new(file));
        let (mut blobs, mut layout) = (BTreeMap::new(), None);
        for entry in archive.entries_with_seek().context("reading the archive")? {
            let mut entry = entry.context("reading the archive")?;
            let name = entry.path().context("reading a name")?.display().to_string();
            if name == "index.json" {
                let mut text = String::new();
                entry.read_to_string(&mut text).context("reading index.json")?;
                layout = Some(serde_json::from_str::<Layout>(&text).context("reading index.json")?);
            } else if let Some(digest) = name.strip_prefix("blobs/sha256/") {
                let blob = Blob {
                    archive: path.to_owned(),
                    offset: entry.raw_file_position(),
                    size: entry.size(),
                };
                blobs.insert(format!("sha256:{digest}"), blob);
            }
        }
        let layout = layout.context("it has no index.json")?;
        for Descriptor { digest, annotations } in layout.manifests {
            if let Some(reference) = annotations.get("io.containerd.image.name") {
                self.manifests.insert(reference.clone(), digest);
            }
        }
        self.blobs.extend(blobs);
        Ok(())
    }

    /// The digest of the manifest that `reference`, a tag or a digest, stands for in `repository` of `registry`.
    pub(super) fn manifest(&self, registry: &str, repository: &str, reference: &str) -> Option<&str> {
        if let Some((digest, _)) = self.blobs.get_key_value(reference) {
            return Some(digest);
        }
        self.manifests
            .get(&format!("{registry}/{repository}:{reference}"))
            .map(String::as_str)
    }

    pub(super) fn blob(&self, digest: &str) -> Option<&Blob> {
        self.blobs.get(digest)
    }
}

impl Blob {
    /// The archive, at the blob's first byte.
    pub(super) fn open(&self) -> std::io::Result<File> {
        let mut file = File::open(&self.archive)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &Path, reference: &str, blobs: &[(&str, &str)]) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        let mut put = |name: &str, content: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        };
        let digest = format!("sha256:{}", blobs[0].0);
        let index = serde_json::json!({"manifests": [
            {"digest": digest, "annotations": {"io.containerd.image.name": reference}}
        ]});
        put("index.json", &index.to_string());
        for (digest, content) in blobs {
            put(&format!("blobs/sha256/{digest}"), content);
        }
        tar.finish().unwrap();
    }

    #[test]
    fn a_blob_is_found_by_tag_and_by_digest_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let reference = "registry.k8s.io/e2e-test-images/web:1.0";
        archive(
            &folder.path().join("web.tar"),
            reference,
            &[("aa", "manifest"), ("bb", "layer")],
        );
        archive(
            &folder.path().join(".half.part.tar"),
            "registry.k8s.io/half:1",
            &[("cc", "x")],
        );
        std::fs::write(folder.path().join("broken.tar"), "no archive").unwrap();
        let index = Index::read(folder.path()).unwrap();

        let manifest = |repository, reference| index.manifest("registry.k8s.io", repository, reference);
        assert_eq!(manifest("e2e-test-images/web", "1.0"), Some("sha256:aa"));
        assert_eq!(manifest("e2e-test-images/web", "sha256:aa"), Some("sha256:aa"));
        assert_eq!(manifest("e2e-test-images/web", "2.0"), None);
        assert_eq!(manifest("half", "1"), None);
        assert_eq!(index.manifest("docker.io", "e2e-test-images/web", "1.0"), None);
        for (digest, content) in [("sha256:aa", "manifest"), ("sha256:bb", "layer")] {
            let blob = index.blob(digest).unwrap();
            let mut text = String::new();
            blob.open()
                .unwrap()
                .take(blob.size)
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, content);
        }
    }
}
