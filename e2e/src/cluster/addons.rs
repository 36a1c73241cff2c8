//! What is applied to a fresh cluster: its DNS.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::plan::site::Site;

const COREDNS: &str = include_str!("../../manifests/coredns.yaml");

/// Applies CoreDNS and the `kube-dns` Service.
pub fn apply(site: &Site) -> Result<()> {
    let mut kubectl = Command::new(site.upstream().join("kubectl"))
        .arg("--kubeconfig")
        .arg(site.folder.kubeconfig())
        .args(["apply", "--server-side", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("running kubectl")?;
    if let Some(mut stdin) = kubectl.stdin.take() {
        stdin
            .write_all(COREDNS.as_bytes())
            .context("writing to kubectl")?;
    }
    let output = kubectl.wait_with_output().context("waiting for kubectl")?;
    if !output.status.success() {
        bail!(
            "applying CoreDNS: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
