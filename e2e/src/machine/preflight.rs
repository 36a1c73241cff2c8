//! What a machine must offer before a rig can be made on it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::plan::site::Site;

/// Programs that a rig runs from the host, with the Debian packages that hold them.
const TOOLS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];
/// Folders that every machine of a rig covers with its own.
const COVERED: [&str; 4] = ["/etc", "/run", "/var/lib", "/var/log"];

/// Refuses early, with what to do, rather than half-way.
///
/// # Errors
/// If we are not root, a tool is missing, or the state folder is where machines could not see it.
pub fn check(site: &Site) -> Result<()> {
    root()?;
    let missing: Vec<&str> = TOOLS
        .into_iter()
        .filter(|(tool, _)| !on_path(tool))
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        bail!("programs are missing: apt-get install {}", missing.join(" "));
    }
    bridge_filter()?;
    for folder in [site.folder.root(), &site.ours] {
        if let Some(covered) = COVERED.iter().find(|covered| folder.starts_with(covered)) {
            bail!(
                "{} is below {covered}, which every machine of a rig covers with its own: \
                 choose another folder (STEERSMAN_RIG, --bin-dir)",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Packets between two pods of a node cross a bridge; without this part of the kernel, Services would not see them.
fn bridge_filter() -> Result<()> {
    let there = || Path::new("/proc/sys/net/bridge").exists();
    if !there() {
        let _ = Command::new("modprobe")
            .arg("br_netfilter")
            .stderr(Stdio::null())
            .status();
    }
    if !there() {
        bail!(
            "the kernel has no br_netfilter, and `modprobe br_netfilter` does not bring it: Services need it"
        );
    }
    Ok(())
}

/// # Errors
/// If we are not root, with what root is needed for.
pub fn root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a rig needs root: it makes network, mount and process namespaces, cgroups and overlay mounts, and runs \
             containerd in them. Run it with sudo, or in a privileged container"
        );
    }
    Ok(())
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| Path::new(&folder).join(tool).exists())
}
