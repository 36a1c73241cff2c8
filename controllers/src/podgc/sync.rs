//! Watches and writes.

use super::metrics::METRICS;
use super::plan::{Why, plan};
use super::quarantine::Quarantine;
use crate::api::{ConditionStatus, Node, Pod};
use crate::context::Context;
use crate::disruption;
use crate::pods::Fan;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions, PatchKind};
use machinery::meta::resources::{NODES, PODS};
use machinery::meta::{Istr, PartialObject, Time};
use rustc_hash::FxHashSet;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The least time between two looks at all pods, and when to look again after a failure.
const PAUSE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(20);

struct Controller {
    context: Context,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    /// Something happened that may leave a pod without a keeper.
    wake: Notify,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let stop = context.stop.clone();
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        nodes: context.caches.nodes().clone(),
        wake: Notify::new(),
        context,
    });
    tokio::join!(controller.pods.synced(), controller.nodes.synced());
    controller.subscribe();
    stop.run_until_cancelled(controller.work()).await;
}

fn status(node: &Node) -> Option<ConditionStatus> {
    node.condition("Ready").map(|ready| ready.status)
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.nodes.subscribe(move |event| match event {
            Event::Deleted(_) => this.wake.notify_one(),
            Event::Updated { old, new }
                if old.spec.taints != new.spec.taints || status(old) != status(new) =>
            {
                this.wake.notify_one()
            }
            _ => {}
        });
        let this = self.clone();
        self.pods.subscribe(move |event| {
            let (old, pod) = match event {
                Event::Added(pod) => (None, pod),
                Event::Updated { old, new } => (Some(old), new),
                Event::Deleted(_) => return,
            };
            let ended =
                pod.status.phase.is_terminal() && !old.is_some_and(|old| old.status.phase.is_terminal());
            let left = pod.metadata.is_deleting() && !old.is_some_and(|old| old.metadata.is_deleting());
            let name = &pod.spec.node_name;
            let lost = !name.is_empty()
                && old.is_none_or(|old| old.spec.node_name != *name)
                && this.nodes.get_named("", name).is_none();
            if ended || left || lost {
                this.wake.notify_one();
            }
        });
    }

    async fn work(&self) {
        let mut quarantine = Quarantine::default();
        loop {
            let failed = self.sweep(&mut quarantine).await;
            tokio::time::sleep(PAUSE).await;
            let retry = failed.then(|| Instant::now() + RETRY);
            match quarantine.next().into_iter().chain(retry).min() {
                None => self.wake.notified().await,
                Some(next) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(next.into()) => {}
                    }
                }
            }
        }
    }

    /// Looks at all pods; says whether anything failed.
    async fn sweep(&self, quarantine: &mut Quarantine) -> bool {
        let pods = self.pods.list();
        let names: FxHashSet<&Istr> = pods
            .iter()
            .map(|pod| &pod.spec.node_name)
            .filter(|name| !name.is_empty())
            .collect();
        let missing: Vec<Istr> = names
            .into_iter()
            .filter(|name| self.nodes.get_named("", name).is_none())
            .cloned()
            .collect();
        let mut gone = FxHashSet::default();
        for name in quarantine.update(missing, Instant::now()) {
            match self.context.client.get::<PartialObject>(&NODES, "", &name).await {
                Err(missing) if missing.is_not_found() => {
                    gone.insert(name.clone());
                }
                Err(error) => tracing::warn!(
                    node = name.as_str(),
                    "cannot tell whether the node still exists: {error}"
                ),
                Ok(_) => {}
            }
            // Pods may stay for a while (finalizers): each look at them takes its time.
            quarantine.restart(&name, Instant::now());
        }
        let plan = plan(
            &pods,
            |name| self.nodes.get_named("", name),
            &gone,
            self.context.config.terminated_pod_gc_threshold,
        );
        let outcome = Fan::all(plan.len()).run(|index| {
            let entry = plan.get(index);
            async move {
                match entry {
                    Some((pod, why)) => self.collect(pod, *why).await,
                    None => Ok(()),
                }
            }
        });
        outcome.await.error.is_some()
    }

    async fn collect(&self, pod: &Pod, why: Why) -> Result<(), ApiError> {
        let key = pod.metadata.key();
        let done = self.fail_and_delete(pod, why).await;
        METRICS.count(&key.namespace, why, done.is_err());
        match done {
            Ok(()) => {
                tracing::info!(pod = %key, why = why.as_str(), "deleted the pod by force");
                Ok(())
            }
            Err(gone) if gone.is_not_found() || gone.is_conflict() => Ok(()),
            Err(error) => {
                tracing::warn!(pod = %key, why = why.as_str(), "cannot delete the pod by force: {error}");
                Err(error)
            }
        }
    }

    /// A pod that is gone by force never ran to its end: it says that it failed before it goes, for those who count.
    async fn fail_and_delete(&self, pod: &Pod, why: Why) -> Result<(), ApiError> {
        let (client, meta) = (&self.context.client, &pod.metadata);
        if !pod.status.phase.is_terminal() {
            let mut patch = json!({ "metadata": { "uid": meta.uid }, "status": { "phase": "Failed", "observedGeneration": meta.generation } });
            if why == Why::Orphaned
                && let Some(condition) = disruption::target(
                    pod,
                    "DeletionByPodGC",
                    "PodGC: node no longer exists",
                    Time::now(),
                )
                && let Some(status) = patch.get_mut("status").and_then(serde_json::Value::as_object_mut)
            {
                status.insert("conditions".into(), json!([condition]));
            }
            client
                .patch_status::<serde::de::IgnoredAny, _>(
                    &PODS,
                    &meta.namespace,
                    &meta.name,
                    PatchKind::Strategic,
                    &patch,
                )
                .await?;
        }
        client
            .delete(
                &PODS,
                &meta.namespace,
                &meta.name,
                &DeleteOptions::default().uid(&*meta.uid).grace(0),
            )
            .await
    }
}
