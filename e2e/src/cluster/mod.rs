//! Bringing a rig up, changing it, taking it down.
//!
//! ```text
//! up:   preflight -> state -> cgroups -> files -> supervisor -> machines, links -> programs -> add-ons -> Ready
//! swap: stop one side's program, start the other's, wait until it works
//! down: supervisor, machines, cgroups, folder: whatever there is of them
//! ```

pub mod addons;
pub mod down;
pub mod files;
pub mod health;
pub mod images;
pub mod progress;
pub mod swap;
pub mod up;
pub mod upstream;
pub mod wait;

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

/// A client with the identity and the server of `kubeconfig`.
pub async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let read =
        Kubeconfig::read_from(kubeconfig).with_context(|| format!("reading {}", kubeconfig.display()))?;
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("reading {}", kubeconfig.display()))?;
    kube::Client::try_from(config).with_context(|| format!("making a client from {}", kubeconfig.display()))
}
