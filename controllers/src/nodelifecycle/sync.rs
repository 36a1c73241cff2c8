//! Watches and writes.

use super::health::{Grace, Heard, unknown};
use super::metrics::METRICS;
use super::pods::mark_not_ready;
use super::taints::Eviction;
use super::zones::{Shift, Zones, zone_of};
use super::{labels, taints};
use crate::api::{ConditionStatus, Lease, Node, NodeCondition, Pod};
use crate::caches::BY_NODE;
use crate::context::Context;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::{LEASES, NODES};
use machinery::meta::{Istr, ObjectKey, ObjectRef, PartialObject, Time};
use machinery::queue::{Next, Queue, run_workers};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const WORKERS: usize = 8;
const LEASE_NAMESPACE: &str = "kube-node-lease";

struct Controller {
    context: Context,
    nodes: Cache<Node>,
    leases: Cache<Lease>,
    pods: Cache<Pod>,
    queue: Queue<ObjectKey>,
    heard: Mutex<FxHashMap<Istr, Heard>>,
    zones: Mutex<Zones>,
    /// The readiness of some node, or who waits, may have changed.
    changed: Notify,
    /// Nodes whose pods must still be marked.
    unmarked: Mutex<FxHashSet<Istr>>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        nodes: context.caches.nodes().clone(),
        leases: context.caches.leases().clone(),
        pods: context.caches.pods().clone(),
        queue: Queue::new("node_lifecycle_controller"),
        heard: Mutex::default(),
        zones: Mutex::new(Zones::new(context.config.node_lifecycle.clone())),
        changed: Notify::new(),
        unmarked: Mutex::default(),
        context,
    });
    tokio::join!(
        controller.nodes.synced(),
        controller.leases.synced(),
        controller.pods.synced()
    );
    controller.subscribe();
    let (stop, queue) = (controller.context.stop.clone(), controller.queue.clone());
    let work = run_workers(&queue, WORKERS, {
        let controller = controller.clone();
        move |key| {
            let controller = controller.clone();
            async move { controller.sync(&key).await }
        }
    });
    tokio::join!(work, stop.run_until_cancelled(controller.take_turns()), async {
        stop.cancelled().await;
        queue.shutdown();
    });
}

fn is_ready(node: &Node) -> bool {
    node.condition("Ready")
        .is_some_and(|ready| ready.status == ConditionStatus::True)
}

/// Whether anything changed that taints, labels or zones depend on; most updates are mere heartbeats.
fn matters(old: &Node, new: &Node) -> bool {
    let statuses = |node: &Node| {
        node.status
            .conditions
            .iter()
            .map(|c| (c.kind.clone(), c.status))
            .collect::<Vec<_>>()
    };
    old.spec.taints != new.spec.taints
        || old.spec.unschedulable != new.spec.unschedulable
        || old.metadata.labels != new.metadata.labels
        || statuses(old) != statuses(new)
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.nodes.subscribe(move |event| match event {
            Event::Added(node) => this.appeared(node),
            Event::Deleted(node) => this.vanished(node),
            Event::Updated { old, new } if old.metadata.uid != new.metadata.uid => {
                this.vanished(old);
                this.appeared(new);
            }
            Event::Updated { old, new } => {
                if let Some(heard) = this.heard.lock().get_mut(&new.metadata.name) {
                    heard.node(new, Instant::now());
                }
                if matters(old, new) {
                    this.changed.notify_one();
                    this.queue.add(new.metadata.key());
                }
            }
        });
        let this = self.clone();
        self.leases.subscribe(move |event| {
            if let Event::Added(lease) | Event::Updated { new: lease, .. } = event
                && let Some(heard) = this.heard.lock().get_mut(&lease.metadata.name)
            {
                heard.lease(lease, Instant::now());
            }
        });
        // A pod that is bound to a node that is not ready was not there when the node's pods were marked.
        let this = self.clone();
        self.pods.subscribe(move |event| {
            let pod = match event {
                Event::Added(pod) => pod,
                Event::Updated { old, new } if old.spec.node_name != new.spec.node_name => new,
                _ => return,
            };
            let name = &pod.spec.node_name;
            let lost = || {
                this.nodes
                    .get_named("", name)
                    .is_some_and(|node| node.condition("Ready").is_some() && !is_ready(&node))
            };
            if !name.is_empty() && pod.is_ready() && lost() {
                this.unmarked.lock().insert(name.clone());
                this.queue.add(ObjectKey::cluster(name));
            }
        });
    }

    fn appeared(&self, node: &Node) {
        let name = &node.metadata.name;
        let created = node.metadata.creation_timestamp.map(|time| time.0);
        let age =
            created.and_then(|created| Duration::try_from(Timestamp::now().duration_since(created)).ok());
        let lease = self.leases.get_named(LEASE_NAMESPACE, name);
        let heard = Heard::first(node, lease.as_deref(), age.unwrap_or_default(), Instant::now());
        self.heard.lock().insert(name.clone(), heard);
        self.say(
            node,
            "RegisteredNode",
            format!("Node {name} event: Registered Node {name} in Controller"),
        );
        self.changed.notify_one();
        self.queue.add(node.metadata.key());
    }

    fn vanished(&self, node: &Node) {
        let name = &node.metadata.name;
        self.heard.lock().remove(name);
        self.unmarked.lock().remove(name);
        self.zones.lock().forget(name);
        self.changed.notify_one();
        self.say(
            node,
            "RemovingNode",
            format!("Node {name} event: Removing Node {name} from Controller"),
        );
    }

    fn say(&self, node: &Node, reason: &'static str, message: String) {
        self.context
            .events
            .normal(&ObjectRef::new(&NODES, &node.metadata), reason, message);
    }

    /// Looks at the zones whenever something changed, and lets nodes have their turn.
    async fn take_turns(&self) {
        loop {
            let started = Instant::now();
            let shift = {
                let nodes = self.nodes.list();
                let mut zones = self.zones.lock();
                let shift = zones.look(nodes.iter().map(AsRef::as_ref));
                METRICS.show(&zones);
                shift
            };
            METRICS.all.observe(started.elapsed().as_secs_f64());
            if shift != Shift::None {
                self.shifted(shift);
            }
            let now = Instant::now();
            let (due, next) = {
                let mut zones = self.zones.lock();
                (zones.due(now), zones.next(now))
            };
            for name in due {
                self.queue.add(ObjectKey::cluster(name));
            }
            match next {
                None => self.changed.notified().await,
                Some(next) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(next.into()) => {}
                    }
                }
            }
        }
    }

    fn shifted(&self, shift: Shift) {
        if shift == Shift::Suspended {
            tracing::warn!("no node is ready any more: nothing is evicted until one is");
        } else {
            tracing::info!("some nodes are ready again: evictions go on");
            let now = Instant::now();
            self.heard.lock().values_mut().for_each(|heard| heard.excuse(now));
        }
        for node in self.nodes.list() {
            self.queue.add(node.metadata.key());
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(node) = self.nodes.get(key) else {
            return Ok(Next::Done);
        };
        let started = Instant::now();
        let looked = self.look_after(&node).await;
        METRICS.one.observe(started.elapsed().as_secs_f64());
        match looked {
            Ok(next) => Ok(next),
            Err(gone) if gone.is_not_found() => Ok(Next::Done),
            // Somebody else wrote at the same time, perhaps the node itself: look at what it says now.
            Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
            Err(error) => Err(anyhow::Error::new(error).context(format!("looking after node {key}"))),
        }
    }

    async fn look_after(&self, node: &Arc<Node>) -> Result<Next, ApiError> {
        let settings = &self.context.config.node_lifecycle;
        let grace = Grace {
            running: settings.monitor_grace_period,
            starting: settings.startup_grace_period,
        };
        let left = self
            .heard
            .lock()
            .get(&node.metadata.name)
            .map(|heard| heard.left(node, grace, Instant::now()));
        let next = match left {
            None => return Ok(Next::Done), // removed meanwhile
            Some(Some(left)) => Next::After(left),
            Some(None) => match unknown(node, Time::now()) {
                Some(conditions) => return self.declare_unknown(node, &conditions).await,
                None => Next::Done, // until it is heard of again
            },
        };
        self.mark_pods(node).await?;
        self.label(node).await?;
        self.taint(node).await?;
        Ok(next)
    }

    /// The node was silent for too long: says so. The cache's event brings us back for the rest.
    async fn declare_unknown(&self, node: &Node, conditions: &[NodeCondition]) -> Result<Next, ApiError> {
        let name = &node.metadata.name;
        if self.lease_is_newer(name).await? {
            tracing::warn!(
                node = name.as_str(),
                "the node renews its lease, but the cache does not show it: waiting for the cache"
            );
            return Ok(Next::After(self.context.config.node_lifecycle.monitor_period));
        }
        let patch = json!({ "metadata": { "uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version }, "status": { "conditions": conditions } });
        self.context
            .client
            .patch_status::<IgnoredAny, _>(&NODES, "", name, PatchKind::Strategic, &patch)
            .await?;
        tracing::warn!(
            node = name.as_str(),
            "the node is silent: its conditions are unknown now"
        );
        if is_ready(node) {
            self.unmarked.lock().insert(name.clone());
            self.say(
                node,
                "NodeNotReady",
                format!("Node {name} status is now: NodeNotReady"),
            );
        }
        Ok(Next::After(self.context.config.node_lifecycle.monitor_period))
    }

    /// Asks the API server, since it may be our watch that is silent and not the node.
    async fn lease_is_newer(&self, name: &Istr) -> Result<bool, ApiError> {
        let held = self
            .leases
            .get_named(LEASE_NAMESPACE, name)
            .map(|lease| lease.metadata.resource_version.clone());
        match self
            .context
            .client
            .get::<PartialObject>(&LEASES, LEASE_NAMESPACE, name)
            .await
        {
            Ok(live) => Ok(Some(live.metadata.resource_version) != held),
            Err(missing) if missing.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn mark_pods(&self, node: &Node) -> Result<(), ApiError> {
        let name = &node.metadata.name;
        if !self.unmarked.lock().contains(name) {
            return Ok(());
        }
        if !is_ready(node) {
            mark_not_ready(&self.context, &self.pods.by_index(BY_NODE, name)).await?;
        }
        self.unmarked.lock().remove(name);
        Ok(())
    }

    async fn label(&self, node: &Node) -> Result<(), ApiError> {
        let missing = labels::missing(&node.metadata.labels);
        if missing.is_empty() {
            return Ok(());
        }
        let labels: serde_json::Map<String, Value> = missing
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        self.patch(
            node,
            &json!({ "metadata": { "uid": node.metadata.uid, "labels": labels } }),
        )
        .await
    }

    async fn taint(&self, node: &Node) -> Result<(), ApiError> {
        let name = &node.metadata.name;
        let eviction = {
            let mut zones = self.zones.lock();
            let dead = taints::no_execute(node).is_some();
            if dead && (zones.is_suspended() || !taints::is_evicting(node)) {
                self.changed.notify_one();
                zones.ask(node)
            } else {
                zones.forget(name);
                Eviction::Later
            }
        };
        let Some(wanted) = taints::wanted(node, eviction, Time::now()) else {
            return Ok(());
        };
        // Taints have no merge key, so the list is replaced, and only if it is still the one we saw.
        let metadata = json!({ "uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version });
        self.patch(
            node,
            &json!({ "metadata": metadata, "spec": { "taints": wanted } }),
        )
        .await?;
        if eviction == Eviction::Allowed {
            METRICS.evicted(&zone_of(node));
        }
        tracing::info!(node = name.as_str(), taints = ?wanted.iter().map(|taint| &*taint.key).collect::<Vec<_>>(), "set the node's taints");
        Ok(())
    }

    async fn patch(&self, node: &Node, patch: &Value) -> Result<(), ApiError> {
        let (client, name) = (&self.context.client, &node.metadata.name);
        client
            .patch::<IgnoredAny, _>(&NODES, "", name, PatchKind::Strategic, patch)
            .await
            .map(|_| ())
    }
}
