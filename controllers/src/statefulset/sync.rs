//! Watches, claims, writes.

use super::act::{Actor, Revision, Seen};
use super::identity::is_member;
use super::plan::{Action, Observed, Plan, complete, is_news, next_available};
use super::revisions::{self, Revisions};
use crate::api::{Claim, StatefulSet, StatefulSetStatus, StatefulSetStrategy, status_update};
use crate::context::Context;
use crate::history::History;
use crate::workload::Workload;
use anyhow::Context as _;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::Cache;
use machinery::meta::resources::STATEFUL_SETS;
use machinery::meta::{ObjectKey, PartialObject};
use machinery::queue::Next;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most actions of a stage that are under way at once.
const BURST: usize = 500;

struct Controller {
    workload: Arc<Workload>,
    sets: Cache<StatefulSet>,
    claims: Cache<Claim>,
    history: History,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let caches = context.caches.clone();
    let workers = context.config.concurrent_statefulset_syncs;
    let controller = Arc::new(Controller {
        sets: caches.stateful_sets().clone(),
        claims: caches.claims().clone(),
        history: History::new(&context.client, caches.revisions()),
        workload: Arc::new(Workload::new(context, STATEFUL_SETS, "statefulset")),
    });
    controller
        .workload
        .follow(&controller.sets, |set| &set.spec.selector);
    tokio::join!(
        controller.sets.synced(),
        controller.workload.pods.synced(),
        controller.claims.synced(),
        caches.revisions().synced()
    );
    let this = controller.clone();
    let sync = move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    };
    controller.workload.work(workers, sync).await;
}

impl Controller {
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
        if let Some(left) = self.workload.expectations.wait(uid, clock) {
            return Ok(Next::After(left)); // as do those of its pods
        }
        let selector = match Selector::try_from(&set.spec.selector) {
            Ok(selector) => selector,
            Err(problem) => {
                tracing::error!(stateful_set = %key, "invalid selector: {problem}");
                return Ok(Next::Done);
            }
        };
        if set.spec.update_strategy == StatefulSetStrategy::Other {
            let message = format!("statefulset {key} uses an update strategy that is not enabled");
            let about = self.workload.reference(&set.metadata);
            self.workload
                .context
                .events
                .warning(&about, "UnknownStrategy", &message);
            anyhow::bail!(message);
        }
        let pods = {
            let mut pods = self
                .workload
                .claim_pods(&set.metadata, &selector, |pod| is_member(&set, pod))
                .await?;
            pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
            pods
        };
        let revisions = revisions::construct(&self.workload, &self.history, &set)
            .await
            .with_context(|| format!("constructing the revisions of StatefulSet {key}"))?;
        let now = Timestamp::now();
        let claims = Seen {
            set: &set,
            claims: &self.claims,
        };
        let plan = Observed {
            set: &set,
            pods: &pods,
            current: &revisions.current.metadata.name,
            update: &revisions.update.metadata.name,
            claims,
            now,
        }
        .plan();
        let (status, acted) = self.execute(&set, &revisions, plan).await?;
        let written = self.write_status(&set, status).await;
        acted.with_context(|| format!("syncing StatefulSet {key}"))?;
        let waits = written.with_context(|| format!("updating the status of StatefulSet {key}"))?;
        if let Ok(limit) = usize::try_from(set.spec.revision_history_limit.unwrap_or(10)) {
            for revision in revisions.surplus(limit, &pods) {
                self.history.delete(&revision.metadata).await?;
            }
        }
        if !waits {
            return Ok(Next::Done);
        }
        let span = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds).unwrap_or(0));
        Ok(Next::After(next_available(&set, &pods, now).unwrap_or(span)))
    }

    /// Carries the plan out as far as it goes well; the status after that.
    async fn execute(
        &self,
        set: &StatefulSet,
        revisions: &Revisions,
        plan: Plan,
    ) -> anyhow::Result<(StatefulSetStatus, anyhow::Result<()>)> {
        let Plan { stages, mut status } = plan;
        status.collision_count = Some(revisions.collisions);
        if stages.iter().all(Vec::is_empty) {
            return Ok((status, Ok(())));
        }
        let revision = |revision: &crate::api::ControllerRevision| {
            let template = Revisions::template(revision).context("reading the template of a revision")?;
            anyhow::Ok(Revision {
                name: revision.metadata.name.clone(),
                template,
            })
        };
        let (current, update) = (revision(&revisions.current)?, revision(&revisions.update)?);
        let actor = Actor {
            workload: &self.workload,
            claims: &self.claims,
            set,
            current: &current,
            update: &update,
        };
        for stage in stages {
            let replaces = matches!(stage.first(), Some(Action::Replace(_)));
            let outcome = if set.spec.is_parallel() && !replaces {
                burst(&actor, &stage).await
            } else {
                let mut outcome = Ok(());
                for action in &stage {
                    outcome = actor.act(action).await;
                    if outcome.is_err() {
                        break;
                    }
                    status.current_replicas -= i32::from(replaces);
                }
                outcome
            };
            if outcome.is_err() {
                return Ok((status, outcome));
            }
        }
        Ok((status, Ok(())))
    }

    /// Writes the status if it tells anything new; whether a pod that is ready may soon be available.
    async fn write_status(&self, set: &StatefulSet, mut status: StatefulSetStatus) -> anyhow::Result<bool> {
        let meta = &set.metadata;
        complete(set, &mut status);
        let waits = set.spec.min_ready_seconds > 0 && status.ready_replicas != status.available_replicas;
        if !is_news(set, &status) {
            return Ok(waits);
        }
        let body = status_update(&STATEFUL_SETS, meta, &status);
        let client = &self.workload.context.client;
        let written = client
            .update_status::<PartialObject, _>(&STATEFUL_SETS, &meta.namespace, &meta.name, &body)
            .await?;
        self.workload
            .consistency
            .wrote(&meta.uid, &written.metadata, Instant::now());
        Ok(waits)
    }
}

/// Acts on many pods at once, slowly at first; the first failure ends it.
async fn burst(actor: &Actor<'_>, stage: &[Action]) -> anyhow::Result<()> {
    let (mut window, mut failure) = (1, None);
    let mut todo = stage.iter();
    let mut flying = FuturesUnordered::new();
    loop {
        while failure.is_none() && flying.len() < window {
            let Some(action) = todo.next() else { break };
            flying.push(actor.act(action));
        }
        match flying.next().await {
            None => return failure.map_or(Ok(()), Err),
            Some(Ok(())) => window = (window + 1).min(BURST),
            Some(Err(error)) => failure = failure.or(Some(error)),
        }
    }
}
