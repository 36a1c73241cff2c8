//! Watches and writes.

use super::metrics::METRICS;
use super::plan::{Verdict, evicts, verdict};
use super::schedule::{Schedule, Step};
use crate::api::{Node, Pod};
use crate::caches::BY_NODE;
use crate::context::Context;
use crate::disruption;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions, PatchKind};
use machinery::meta::resources::PODS;
use machinery::meta::{ObjectKey, ObjectRef, Time};
use machinery::queue::{Next, Queue};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

const WORKERS: usize = 8;

struct Controller {
    context: Context,
    nodes: Cache<Node>,
    pods: Cache<Pod>,
    queue: Queue<ObjectKey>,
    schedule: Mutex<Schedule>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        nodes: context.caches.nodes().clone(),
        pods: context.caches.pods().clone(),
        queue: Queue::new("noexec_taint_pod"),
        schedule: Mutex::default(),
        context,
    });
    tokio::join!(controller.nodes.synced(), controller.pods.synced());
    controller.subscribe();
    let (stop, queue) = (controller.context.stop.clone(), controller.queue.clone());
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
            Event::Added(node) if evicts(&node.spec.taints) => this.look_at_pods(node),
            Event::Updated { old, new }
                if old.spec.taints != new.spec.taints
                    && (evicts(&old.spec.taints) || evicts(&new.spec.taints)) =>
            {
                this.look_at_pods(new);
            }
            // Pods of a node that is gone are the pod garbage collector's.
            _ => {}
        });
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Deleted(pod) => this.schedule.lock().forget(&pod.metadata.key()),
            Event::Added(pod) => this.look_at(pod),
            Event::Updated { old, new } => {
                let tolerations_changed = !old.spec.tolerates_the_same(&new.spec);
                if tolerations_changed
                    || old.spec.node_name != new.spec.node_name
                    || old.metadata.uid != new.metadata.uid
                {
                    this.look_at(new);
                }
            }
        });
    }

    fn look_at_pods(&self, node: &Node) {
        for pod in self.pods.by_index(BY_NODE, &node.metadata.name) {
            self.queue.add(pod.metadata.key());
        }
    }

    fn look_at(&self, pod: &Pod) {
        let tainted = || {
            self.nodes
                .get_named("", &pod.spec.node_name)
                .is_some_and(|node| evicts(&node.spec.taints))
        };
        let key = pod.metadata.key();
        if !pod.spec.node_name.is_empty() && (tainted() || self.schedule.lock().has(&key)) {
            self.queue.add(key);
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(pod) = self.pods.get(key).filter(|pod| !pod.metadata.is_deleting()) else {
            self.schedule.lock().forget(key);
            return Ok(Next::Done);
        };
        let verdict = match self.nodes.get_named("", &pod.spec.node_name) {
            Some(node) if evicts(&node.spec.taints) => verdict(&node.spec.taints, &pod.spec.tolerations()),
            _ => Verdict::Stay,
        };
        let step = self
            .schedule
            .lock()
            .file(key, &pod.metadata.uid, verdict, Instant::now());
        let say = |message: String| {
            self.context.events.normal(
                &ObjectRef::new(&PODS, &pod.metadata),
                "TaintManagerEviction",
                message,
            )
        };
        match step {
            Step::Nothing => Ok(Next::Done),
            Step::Wait(left) => Ok(Next::After(left)),
            Step::Cancelled => {
                say(format!("Cancelling deletion of Pod {key}"));
                Ok(Next::Done)
            }
            Step::Evict { late } => {
                if self.queue.num_requeues(key) == 0 {
                    say(format!("Marking for deletion Pod {key}"));
                }
                match self.evict(&pod).await {
                    Ok(()) => {
                        METRICS.deletions.inc();
                        METRICS.latency.observe(late.as_secs_f64());
                    }
                    Err(gone) if gone.is_not_found() || gone.is_conflict() => {}
                    Err(error) => {
                        return Err(anyhow::Error::new(error)
                            .context(format!("evicting pod {key} from node {}", pod.spec.node_name)));
                    }
                }
                self.schedule.lock().forget(key);
                Ok(Next::Done)
            }
        }
    }

    async fn evict(&self, pod: &Pod) -> Result<(), ApiError> {
        let (client, meta) = (&self.context.client, &pod.metadata);
        if let Some(condition) = disruption::target(
            pod,
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            Time::now(),
        ) {
            let patch = serde_json::json!({ "metadata": { "uid": meta.uid }, "status": { "conditions": [condition] } });
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
                &DeleteOptions::default().uid(&*meta.uid),
            )
            .await
    }
}
