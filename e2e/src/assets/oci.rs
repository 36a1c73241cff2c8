//! Image archives in the OCI image layout, as `ctr images import` reads them.
//!
//! ```text
//! oci-layout, index.json -> a manifest a name -> its config, and the layer that all of them share
//! ```
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::error::{At, Result};
use super::layer::{self, Layer};

/// What a runtime is told about an image: the `config` object of its configuration.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) user: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) entrypoint: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) cmd: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) env: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) working_dir: &'static str,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Writes the archive `out` with one image a reference, each with `config` and `layer`. Images of different
/// references differ in their labels, so that they have different digests as different versions have.
pub(super) fn write(out: &Path, references: &[&str], config: &Config, layer: &Layer) -> Result<()> {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut blob = |content: &Value| -> Result<(String, u64)> {
        let bytes = content.to_string().into_bytes();
        let (digest, size) = layer::digest(bytes.as_slice()).at("take the digest for", out)?;
        blobs.insert(digest.clone(), bytes);
        Ok((digest, size))
    };
    let mut manifests = Vec::new();
    for reference in references {
        let (digest, size) = blob(&configuration(reference, config, &layer.digest))?;
        let (digest, size) = blob(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &digest, size),
            "layers": [descriptor(LAYER, &layer.digest, layer.size)],
        }))?;
        let mut descriptor = descriptor(MANIFEST, &digest, size);
        descriptor["platform"] = json!({"architecture": architecture(), "os": "linux"});
        descriptor["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": version(reference),
        });
        manifests.push(descriptor);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });

    let file = File::create(out).at("create the archive", out)?;
    let mut tar = tar::Builder::new(BufWriter::new(file));
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).at("write", out)?;
    put(&mut tar, "index.json", index.to_string().as_bytes()).at("write", out)?;
    for (digest, content) in &blobs {
        put(&mut tar, &format!("blobs/sha256/{digest}"), content).at("write", out)?;
    }
    let from = File::open(&layer.path).at("open the layer", &layer.path)?;
    let name = format!("blobs/sha256/{}", layer.digest);
    tar.append_data(&mut header(layer.size), name, from)
        .at("write", out)?;
    let file = tar.into_inner().at("write", out)?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .at("write", out)?;
    Ok(())
}

fn put(tar: &mut tar::Builder<impl std::io::Write>, name: &str, content: &[u8]) -> std::io::Result<()> {
    tar.append_data(&mut header(content.len() as u64), name, content)
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    header
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn configuration(reference: &str, config: &Config, layer: &str) -> Value {
    let mut config = json!(config);
    config["Labels"] = json!({"org.opencontainers.image.version": version(reference)});
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created_by": "rig"}],
    })
}

/// The tag of a reference.
fn version(reference: &str) -> &str {
    reference.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

/// This machine's architecture, by the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
