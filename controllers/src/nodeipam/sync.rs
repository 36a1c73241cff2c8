//! Watches and writes.

use super::metrics::METRICS;
use super::plan::Ledger;
use super::settings;
use crate::api::Node;
use crate::context::Context;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::NODES;
use machinery::meta::{ObjectKey, ObjectRef};
use machinery::queue::{Next, Queue};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;

const WORKERS: usize = 8;

struct Controller {
    context: Context,
    nodes: Cache<Node>,
    queue: Queue<ObjectKey>,
    ledger: Mutex<Ledger>,
}

/// Runs until the context is stopped; does nothing unless `--allocate-node-cidrs` is set.
pub async fn run(context: Context) {
    let stop = context.stop.clone();
    if !context.config.node_ipam.allocate_node_cidrs {
        return stop.cancelled().await;
    }
    let pools = match settings::pools(&context.config.node_ipam) {
        Ok(pools) => pools,
        Err(invalid) => {
            tracing::error!("nodes get no address ranges: {invalid}");
            return stop.cancelled().await;
        }
    };
    let controller = Arc::new(Controller {
        nodes: context.caches.nodes().clone(),
        queue: Queue::new("cidrallocator_node"),
        ledger: Mutex::new(Ledger::new(pools)),
        context,
    });
    controller.nodes.synced().await;
    // What nodes hold is known before the first range is given away.
    for node in controller.nodes.list() {
        controller.holds(&node);
    }
    controller.subscribe();
    let queue = controller.queue.clone();
    until_stopped(&queue, WORKERS, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.nodes.subscribe(move |event| match event {
            Event::Added(node) => this.queue.add(node.metadata.key()),
            Event::Updated { old, new } => {
                if old.metadata.uid != new.metadata.uid {
                    this.gone(old);
                }
                if new.spec.pod_cidrs.is_empty() || old.spec.pod_cidrs != new.spec.pod_cidrs {
                    this.queue.add(new.metadata.key());
                }
            }
            Event::Deleted(last) => {
                this.gone(last);
                // Nodes may wait for a range to be free again.
                for node in this
                    .nodes
                    .list()
                    .iter()
                    .filter(|node| node.spec.pod_cidrs.is_empty())
                {
                    this.queue.add(node.metadata.key());
                }
            }
        });
    }

    /// Changes the ledger, and shows in the metrics how full it is.
    fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger.lock();
        let before: Vec<usize> = ledger.pools().iter().map(|pool| pool.usage().0).collect();
        let outcome = change(&mut ledger);
        for (pool, before) in ledger.pools().iter().zip(before) {
            METRICS.show(pool, before);
        }
        outcome
    }

    fn holds(&self, node: &Node) {
        if let Err(mismatch) = self.change(|ledger| ledger.holds(&node.metadata.uid, &node.spec.pod_cidrs)) {
            tracing::error!(node = %node.metadata.name, "the node's address ranges do not fit the flags: {mismatch}");
        }
    }

    fn gone(&self, node: &Node) {
        if let Err(mismatch) = self.change(|ledger| ledger.gone(&node.metadata.uid, &node.spec.pod_cidrs)) {
            tracing::warn!(node = %node.metadata.name, "cannot free the node's address ranges: {mismatch}");
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(node) = self.nodes.get(key) else {
            return Ok(Next::Done);
        };
        if !node.spec.pod_cidrs.is_empty() {
            self.holds(&node);
            return Ok(Next::Done);
        }
        if node.metadata.is_deleting() {
            return Ok(Next::Done);
        }
        let uid = &node.metadata.uid;
        let promised = self.change(|ledger| ledger.promise(uid));
        let ranges: Vec<String> = match promised {
            Ok(ranges) => ranges.iter().map(ToString::to_string).collect(),
            Err(exhausted) => {
                self.say(&node, "CIDRNotAvailable");
                return Err(
                    anyhow::Error::new(exhausted).context(format!("giving node {key} an address range"))
                );
            }
        };
        match self.assign(&node, &ranges).await {
            Ok(()) => {
                tracing::info!(node = %key.name, ranges = ranges.join(","), "gave the node its address ranges");
                Ok(Next::Done)
            }
            Err(gone) if gone.is_not_found() => {
                self.change(|ledger| ledger.retract(uid));
                Ok(Next::Done)
            }
            Err(error) => {
                // Without an answer the write may have been carried out: then the node keeps what it was promised.
                if error.status().is_some_and(|status| status.code < 500) {
                    self.change(|ledger| ledger.retract(uid));
                }
                self.say(&node, "CIDRAssignmentFailed");
                Err(anyhow::Error::new(error).context(format!(
                    "giving node {key} its address ranges {}",
                    ranges.join(",")
                )))
            }
        }
    }

    async fn assign(&self, node: &Node, ranges: &[String]) -> Result<(), ApiError> {
        let patch = json!({ "metadata": { "uid": node.metadata.uid }, "spec": { "podCIDR": ranges.first(), "podCIDRs": ranges } });
        let client = &self.context.client;
        client
            .patch::<serde::de::IgnoredAny, _>(&NODES, "", &node.metadata.name, PatchKind::Strategic, &patch)
            .await
            .map(|_| ())
    }

    fn say(&self, node: &Node, reason: &'static str) {
        let about = ObjectRef::new(&NODES, &node.metadata);
        self.context.events.normal(
            &about,
            reason,
            format!("Node {} status is now: {reason}", node.metadata.name),
        );
    }
}
