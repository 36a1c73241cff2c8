//! Links, addresses and routes, by iproute2's batch mode.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::enter;

/// Runs each line of `batch` as an `ip` command in the network namespace of `pid`, up to the first that fails.
///
/// # Errors
/// With what `ip` said.
pub fn batch(pid: u32, batch: String) -> Result<()> {
    enter::in_network(pid, move || {
        let mut ip = Command::new("ip")
            .args(["-batch", "-"])
            .env(
                "PATH",
                "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("running `ip` (Debian package iproute2)")?;
        if let Some(mut stdin) = ip.stdin.take() {
            stdin
                .write_all(batch.as_bytes())
                .context("writing to `ip -batch`")?;
        }
        let output = ip.wait_with_output().context("waiting for `ip -batch`")?;
        if !output.status.success() {
            bail!(
                "`ip -batch` failed: {}\nof:\n{batch}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    })
}
