//! A kubelet that is killed, and what becomes of its pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use machinery::client::ListOptions;
use machinery::meta::resources::{NODES, PODS};
use serde::Deserialize;

use super::objects::{Condition, Container, Pod, is_true};
use super::{Bench, NAMESPACE, NODE, PATIENCE};
use crate::bench::table::Table;
use crate::bench::watch::Watch;
use crate::plan::choice::Origin;

pub const RESTARTED: &str = "containers restarted or lost";
pub const READY: &str = "to a Ready node, s";

/// A kubelet that would restart containers has done so by then.
const AFTER: Duration = Duration::from_secs(6);

#[derive(Deserialize)]
struct Node {
    metadata: super::objects::Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

impl Node {
    /// When its kubelet last said that it is Ready.
    fn heartbeat(&self) -> Option<&str> {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == "Ready")?;
        ready.last_heartbeat_time.as_deref()
    }
}

impl Bench<'_> {
    /// Kills the kubelet; counts the seconds until the next has said that the node is Ready, and the containers that are
    /// not the same afterwards.
    pub(super) async fn crash(&self, table: &mut Table, origin: Origin) -> Result<()> {
        let case = self.plan.crash();
        let before = self.containers().await?;
        let mut nodes: Watch<Node> =
            Watch::start(self.bed.load.one(), &NODES, "", &ListOptions::default()).await?;
        let mut known = None;
        nodes
            .until(
                PATIENCE,
                |event| {
                    let mine = event.object.metadata.name == NODE;
                    if mine {
                        known = event.object.heartbeat().map(str::to_owned);
                    }
                    mine
                },
                || format!("there is no node {NODE}"),
            )
            .await?;
        // Heartbeats are told to the second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let since = Instant::now();
        self.bed.kill(&self.instance())?;
        let ready = nodes
            .until(
                PATIENCE,
                |event| {
                    let node = &event.object;
                    node.metadata.name == NODE
                        && event.at > since
                        && is_true(&node.status.conditions)
                        && node.heartbeat() != known.as_deref()
                },
                || "the kubelet has not said again that its node is Ready".to_owned(),
            )
            .await?;
        table.add(
            &case,
            READY,
            origin,
            ready.saturating_duration_since(since).as_secs_f64(),
        );
        tokio::time::sleep(AFTER).await;
        let after = self.containers().await?;
        let other = before
            .iter()
            .filter(|(name, containers)| after.get(*name) != Some(containers))
            .count();
        #[allow(clippy::cast_precision_loss)] // A hundred at most.
        table.add(&case, RESTARTED, origin, other as f64);
        Ok(())
    }

    async fn containers(&self) -> Result<BTreeMap<String, Vec<Container>>> {
        let pods = self
            .bed
            .load
            .one()
            .list_all::<Pod>(&PODS, NAMESPACE, &ListOptions::default())
            .await
            .context("listing pods")?;
        Ok(pods
            .items
            .into_iter()
            .map(|pod| (pod.metadata.name, pod.status.container_statuses))
            .collect())
    }
}
