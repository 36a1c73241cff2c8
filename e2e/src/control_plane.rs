//! A bare control plane on loopback, etcd and kube-apiserver and nothing else, for tests that need no node.
//!
//! The server itself is machinery's, so that its tests can have one too; this one brings upstream's programs along.

use anyhow::{Result, anyhow};
use machinery::testing::{ApiServer, Assets};

use crate::assets::{self, Asset, Program, Terminal};
use crate::places;

/// Makes upstream's programs if they are not there yet, starts the two, and waits until they are ready: a few seconds.
/// They end when the result is dropped.
///
/// # Errors
/// If a program cannot be made or does not get ready, with the last lines of its log.
pub async fn start() -> Result<ApiServer> {
    start_with(&[]).await
}

/// As [`start`], with more flags for kube-apiserver.
pub async fn start_with(flags: &[&str]) -> Result<ApiServer> {
    let made = tokio::task::spawn_blocking(|| {
        let wanted: Vec<Asset> = Program::BARE.iter().copied().map(Asset::from).collect();
        anyhow::Ok(assets::ensure(&places::assets()?, &wanted, &Terminal::default())?)
    });
    made.await??;
    let programs = Assets::find().map_err(|why| anyhow!(why))?;
    ApiServer::start_with(&programs, flags)
        .await
        .map_err(|why| anyhow!(why))
}
