//! Watches, claims, writes.

use super::kind::Replicas;
use super::plan::{self, Scale};
use super::status::status;
use crate::api::{Pod, ReplicaSet, status_update};
use crate::caches::BY_OWNER;
use crate::context::Context;
use crate::pods;
use crate::workload::Workload;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::Cache;
use machinery::client::ApiError;
use machinery::meta::{ObjectKey, PartialObject};
use machinery::queue::Next;
use std::sync::Arc;
use std::time::Instant;

struct Controller<K> {
    workload: Arc<Workload>,
    sets: Cache<K>,
}

/// Runs the controller of ReplicaSets until the context is stopped.
pub async fn run(context: Context) {
    let sets = context.caches.replica_sets().clone();
    let workers = context.config.concurrent_replicaset_syncs;
    work(context, sets, workers).await;
}

/// Runs the controller of ReplicationControllers until the context is stopped.
pub async fn run_replication_controllers(context: Context) {
    let sets = context.caches.replication_controllers().clone();
    let workers = context.config.concurrent_rc_syncs;
    work(context, sets, workers).await;
}

async fn work<K: Replicas>(context: Context, sets: Cache<K>, workers: usize) {
    let workload = Arc::new(Workload::new(context, K::RESOURCE.clone(), K::QUEUE));
    workload.follow(&sets, |set| &set.set().spec.selector);
    tokio::join!(sets.synced(), workload.pods.synced());
    let controller = Arc::new(Controller {
        workload: workload.clone(),
        sets,
    });
    let sync = move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    };
    workload.work(workers, sync).await;
}

impl<K: Replicas> Controller<K> {
    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(held) = self.sets.get(key) else {
            return Ok(Next::Done);
        };
        let set = held.set();
        let (workload, now, uid) = (&self.workload, Instant::now(), &set.metadata.uid);
        if !workload.consistency.is_caught_up(uid, [&set.metadata], now) {
            return Ok(Next::After(std::time::Duration::from_secs(1))); // the set's own event comes sooner
        }
        let waiting = workload.expectations.wait(uid, now);
        let selector = match Selector::try_from(&set.spec.selector) {
            Ok(selector) => selector,
            Err(problem) => {
                tracing::error!(kind = &*K::RESOURCE.kind, name = %key, "invalid selector: {problem}");
                return Ok(Next::Done);
            }
        };
        let all = workload.candidates(&set.metadata);
        let terminating = all
            .iter()
            .filter(|pod| pod.is_terminating() && pod.metadata.is_controlled_by(uid))
            .count();
        let active: Vec<_> = all.into_iter().filter(|pod| pod.is_active()).collect();
        let claims = workload.pod_claims(&set.metadata, &selector);
        let active = claims.claim(active).await?;
        let mut failure = None;
        if waiting.is_none() && !set.metadata.is_deleting() {
            failure = self.scale(set, &active).await.err();
        }
        let clock = Timestamp::now();
        let text = failure.as_ref().map(pods::reason);
        let wanted = status(
            set,
            &active,
            K::TELLS_TERMINATING.then_some(terminating),
            text.as_deref(),
            clock,
        );
        if wanted != set.status {
            let body = status_update(K::RESOURCE, &set.metadata, &wanted);
            let written = workload
                .context
                .client
                .update_status::<PartialObject, _>(K::RESOURCE, &key.namespace, &key.name, &body)
                .await
                .with_context(|| format!("updating the status of {} {key}", K::RESOURCE.kind))?;
            workload.consistency.wrote(uid, &written.metadata, Instant::now());
        }
        if let Some(error) = failure {
            return Err(anyhow::Error::new(error).context(format!("scaling {} {key}", K::RESOURCE.kind)));
        }
        let available = plan::next_available(&active, set.spec.min_ready_seconds, clock);
        Ok([waiting, available]
            .into_iter()
            .flatten()
            .min()
            .map_or(Next::Done, Next::After))
    }

    async fn scale(&self, set: &ReplicaSet, active: &[Arc<Pod>]) -> Result<(), ApiError> {
        let owner = &set.metadata;
        match plan::scale(set, active, || self.related(set), Timestamp::now()) {
            Scale::Nothing => Ok(()),
            Scale::Create(count) => {
                let body = pods::from_template(K::RESOURCE, owner, &set.spec.template)?;
                self.workload.create_pods(owner, &vec![body; count]).await
            }
            Scale::Delete(doomed) => self.workload.delete_pods(owner, &doomed).await,
        }
    }

    /// The pods of all ReplicaSets that have the same controller.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let Some(owner) = set.metadata.controller() else {
            return Vec::new();
        };
        let siblings = self.sets.by_index(BY_OWNER, &owner.uid);
        siblings
            .iter()
            .flat_map(|sibling| self.workload.pods.by_index(BY_OWNER, &sibling.meta().uid))
            .collect()
    }
}
