//! Watches, claims, writes.

use super::failures::Failures;
use super::placement::{Placement, Verdict};
use super::plan::{self, Observed, Plan};
use super::revisions::{self, Revisions};
use super::roll::roll;
use super::status::status;
use super::template::PodMaker;
use crate::api::{DaemonSet, DaemonSetStrategy, Node, Phase, Pod, status_update};
use crate::caches::{BY_NAMESPACE, BY_NODE};
use crate::context::Context;
use crate::history::History;
use crate::workload::{Workload, selects};
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, Bytes};
use machinery::meta::resources::DAEMON_SETS;
use machinery::meta::{Istr, ObjectKey, PartialObject};
use machinery::queue::{Next, Queue, run_workers};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most pods that one sync creates or deletes; the next goes on where it ended.
const BURST: usize = 250;

struct Controller {
    workload: Arc<Workload>,
    sets: Cache<DaemonSet>,
    nodes: Cache<Node>,
    history: History,
    changed_nodes: Queue<Istr>,
    failures: Mutex<Failures>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let caches = context.caches.clone();
    let workers = context.config.concurrent_daemonset_syncs;
    let controller = Arc::new(Controller {
        sets: caches.daemon_sets().clone(),
        nodes: caches.nodes().clone(),
        history: History::new(&context.client, caches.revisions()),
        changed_nodes: Queue::new("daemonset-node-updates"),
        failures: Mutex::default(),
        workload: Arc::new(Workload::new(context, DAEMON_SETS, "daemonset")),
    });
    controller.subscribe();
    tokio::join!(
        controller.sets.synced(),
        controller.workload.pods.synced(),
        controller.nodes.synced(),
        caches.revisions().synced()
    );
    let (this, stop) = (controller.clone(), controller.workload.context.stop.clone());
    let work = controller.workload.work(workers, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    });
    let this = controller.clone();
    let nodes = run_workers(&controller.changed_nodes, 1, move |name| {
        let this = this.clone();
        async move {
            this.node_changed(&name);
            Ok::<_, std::convert::Infallible>(Next::Done)
        }
    });
    tokio::join!(work, nodes, async {
        while stop
            .run_until_cancelled(tokio::time::sleep(Duration::from_secs(60)))
            .await
            .is_some()
        {
            controller.failures.lock().tidy(Instant::now());
        }
        controller.changed_nodes.shutdown();
    });
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        self.workload.follow(&self.sets, |set| &set.spec.selector);
        let this = self.clone();
        self.nodes.subscribe(move |event| match event {
            Event::Added(node) => this.changed_nodes.add(node.metadata.name.clone()),
            Event::Updated { old, new }
                if old.metadata.labels != new.metadata.labels || old.spec.taints != new.spec.taints =>
            {
                this.changed_nodes.add(new.metadata.name.clone());
            }
            _ => {}
        });
        let this = self.clone();
        self.workload.context.caches.revisions().subscribe(move |event| {
            let (meta, is_new) = match event {
                Event::Added(revision) => (&revision.metadata, true),
                other => (&other.object().metadata, false),
            };
            match meta.controller() {
                Some(owner) if owner.kind == "DaemonSet" => {
                    // That one is there is what a sync has just seen to.
                    if !is_new {
                        this.workload
                            .queue
                            .add(ObjectKey::new(&meta.namespace, &owner.name));
                    }
                }
                Some(_) => {}
                None => {
                    for set in this.sets.by_index(BY_NAMESPACE, &meta.namespace) {
                        if selects(&set.spec.selector, meta) {
                            this.workload.queue.add(set.metadata.key());
                        }
                    }
                }
            }
        });
    }

    /// Wakes the sets to which a change of the node matters.
    fn node_changed(&self, name: &Istr) {
        let Some(node) = self.nodes.get_named("", name) else {
            return;
        };
        let here: FxHashSet<Istr> = self
            .workload
            .pods
            .by_index(BY_NODE, name)
            .iter()
            .filter_map(|pod| pod.metadata.controller().map(|owner| owner.uid.clone()))
            .collect();
        for set in self.sets.list() {
            let Ok(placement) = Placement::new(&set.spec.template) else {
                continue;
            };
            let matters = match (placement.on(&node), here.contains(&set.metadata.uid)) {
                (Verdict::Run, false) | (Verdict::Leave, true) => true,
                (_, true) => set.status.number_misscheduled > 0,
                _ => false,
            };
            if matters {
                self.workload.queue.add(set.metadata.key());
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(set) = self.sets.get(key) else {
            return Ok(Next::Done);
        };
        let (clock, uid) = (Instant::now(), &set.metadata.uid);
        if !self
            .workload
            .consistency
            .is_caught_up(uid, [&set.metadata], clock)
        {
            return Ok(Next::After(Duration::from_secs(1))); // the set's own event comes sooner
        }
        // Of a set on its way out neither the history nor the pods can be relied on.
        if set.metadata.is_deleting() {
            return Ok(Next::Done);
        }
        let selector = match Selector::try_from(&set.spec.selector) {
            Ok(selector) if selector.is_everything() => {
                let message = "This daemon set is selecting all pods. A non-empty selector is required.";
                let about = self.workload.reference(&set.metadata);
                self.workload
                    .context
                    .events
                    .warning(&about, "SelectingAll", message);
                return Ok(Next::Done);
            }
            Ok(selector) => selector,
            Err(problem) => {
                tracing::error!(daemon_set = %key, "invalid selector: {problem}");
                return Ok(Next::Done);
            }
        };
        let pods = self
            .workload
            .claim_pods(&set.metadata, &selector, |_| true)
            .await?;
        let revisions = revisions::construct(&self.workload, &self.history, &set, &selector, &pods)
            .await
            .with_context(|| format!("constructing the revisions of DaemonSet {key}"))?;
        let placement = Placement::new(&set.spec.template).context("reading the template")?;
        let (nodes, by_node) = (self.nodes.list(), plan::by_node(&pods));
        let seen = Observed {
            set: &set,
            hash: revisions.hash(),
            placement: &placement,
            nodes: &nodes,
            pods: &by_node,
            now: Timestamp::now(),
        };
        let waiting = self.workload.expectations.wait(uid, clock);
        let result = match waiting {
            Some(left) => Ok(Some(left)),
            None => self.act(&seen, &revisions, &pods).await,
        };
        let written = self.write_status(&seen, waiting.is_none()).await;
        let again = result.with_context(|| format!("syncing DaemonSet {key}"))?;
        let unavailable = written.with_context(|| format!("updating the status of DaemonSet {key}"))?;
        Ok([again, unavailable]
            .into_iter()
            .flatten()
            .min()
            .map_or(Next::Done, Next::After))
    }

    /// Creates and deletes pods, and drops old revisions; when to look again.
    async fn act(
        &self,
        seen: &Observed<'_>,
        revisions: &Revisions,
        pods: &[Arc<Pod>],
    ) -> Result<Option<Duration>, anyhow::Error> {
        let plan = plan::manage(seen, &mut self.failures.lock(), Instant::now());
        self.tell_ended(seen, &plan);
        self.execute(seen, &plan).await?;
        let rolls = matches!(
            seen.set.spec.update_strategy,
            DaemonSetStrategy::RollingUpdate { .. }
        );
        if plan.is_empty() && rolls {
            self.execute(seen, &roll(seen)).await?;
        }
        let limit = usize::try_from(seen.set.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        for revision in revisions.surplus(limit, pods) {
            self.history.delete(&revision.metadata).await?;
        }
        Ok(plan.again)
    }

    fn tell_ended(&self, seen: &Observed<'_>, plan: &Plan) {
        let (events, about) = (
            &self.workload.context.events,
            self.workload.reference(&seen.set.metadata),
        );
        for pod in &plan.ended {
            let (key, node) = (pod.metadata.key(), pod.target_node().cloned().unwrap_or_default());
            if pod.status.phase == Phase::Failed {
                let message =
                    format_args!("Found failed daemon pod {key} on node {node}, will try to kill it");
                events.warning(&about, "FailedDaemonPod", message);
            } else {
                let message =
                    format_args!("Found succeeded daemon pod {key} on node {node}, will try to delete it");
                events.normal(&about, "SucceededDaemonPod", message);
            }
        }
    }

    async fn execute(&self, seen: &Observed<'_>, plan: &Plan) -> Result<(), anyhow::Error> {
        let mut first = None;
        if !plan.create.is_empty() {
            let count = plan.create.len().min(BURST);
            let mut maker = PodMaker::new(seen.set, seen.hash).context("reading the template")?;
            let bodies: Vec<Bytes> = plan
                .create
                .iter()
                .take(count)
                .map(|node| maker.on(node))
                .collect::<Result<_, _>>()
                .context("writing a pod")?;
            first = self.workload.create_pods(&seen.set.metadata, &bodies).await.err();
        }
        if !plan.delete.is_empty() {
            let doomed: Vec<_> = plan.delete.iter().take(BURST).cloned().collect();
            let deleted = self.workload.delete_pods(&seen.set.metadata, &doomed).await;
            first = first.or(deleted.err());
        }
        first.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes the status if it changed; when a pod that is ready may have become available.
    async fn write_status(&self, seen: &Observed<'_>, processed: bool) -> Result<Option<Duration>, ApiError> {
        let (set, meta) = (seen.set, &seen.set.metadata);
        let wanted = status(seen, processed);
        if wanted != set.status {
            let body = status_update(&DAEMON_SETS, meta, &wanted);
            let written = self
                .workload
                .context
                .client
                .update_status::<PartialObject, _>(&DAEMON_SETS, &meta.namespace, &meta.name, &body)
                .await?;
            self.workload
                .consistency
                .wrote(&meta.uid, &written.metadata, Instant::now());
        }
        let waits = set.spec.min_ready_seconds > 0 && wanted.number_ready != wanted.number_available;
        Ok(waits.then(|| Duration::from_secs(u64::try_from(set.spec.min_ready_seconds).unwrap_or(0))))
    }
}
