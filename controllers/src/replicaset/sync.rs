//! Watches, claims, writes.

use super::kind::Replicas;
use super::plan::{self, Scale};
use super::status::status;
use crate::api::{Pod, ReplicaSet, status_update};
use crate::caches::{BY_NAMESPACE, BY_OWNER, orphans_of};
use crate::context::Context;
use crate::ownership::{Consistency, Expectations, PodClaims};
use crate::podcontrol::PodControl;
use crate::pods::{self, Fan};
use crate::work::work;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::{Cache, Event};
use machinery::client::ApiError;
use machinery::meta::{ObjectKey, ObjectMeta, OwnerRef, PartialObject};
use machinery::queue::{Next, Queue};
use std::sync::Arc;
use std::time::Instant;

struct Controller<K> {
    context: Context,
    pods: Cache<Pod>,
    sets: Cache<K>,
    queue: Queue<ObjectKey>,
    expectations: Expectations,
    consistency: Consistency,
}

/// Runs the controller of ReplicaSets until the context is stopped.
pub async fn run(context: Context) {
    let sets = context.caches.replica_sets().clone();
    let workers = context.config.concurrent_replicaset_syncs;
    manage(context, sets, workers).await;
}

/// Runs the controller of ReplicationControllers until the context is stopped.
pub async fn run_replication_controllers(context: Context) {
    let sets = context.caches.replication_controllers().clone();
    let workers = context.config.concurrent_rc_syncs;
    manage(context, sets, workers).await;
}

async fn manage<K: Replicas>(context: Context, sets: Cache<K>, workers: usize) {
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        sets,
        queue: Queue::new(K::QUEUE),
        expectations: Expectations::default(),
        consistency: Consistency::default(),
        context,
    });
    controller.subscribe();
    tokio::join!(controller.sets.synced(), controller.pods.synced());
    let (queue, stop) = (controller.queue.clone(), controller.context.stop.clone());
    work(K::RESOURCE, &queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

impl<K: Replicas> Controller<K> {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.sets.subscribe(move |event| {
            match event {
                Event::Updated { old, new } if old.meta().uid != new.meta().uid => this.forget(old.meta()),
                Event::Deleted(last) => this.forget(last.meta()),
                _ => {}
            }
            this.queue.add(event.object().meta().key());
        });
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Added(pod) if pod.metadata.is_deleting() => this.pod_gone(pod),
            Event::Added(pod) => this.pod_here(pod, true),
            Event::Deleted(pod) => this.pod_gone(pod),
            Event::Updated { old, new } => this.pod_changed(old, new),
        });
    }

    fn forget(&self, set: &ObjectMeta) {
        self.expectations.forget(&set.uid);
        self.consistency.forget(&set.uid);
    }

    fn owner(pod: &Pod) -> Option<&OwnerRef> {
        pod.metadata
            .controller()
            .filter(|owner| owner.kind == *K::RESOURCE.kind)
    }

    fn enqueue_owner(&self, pod: &Pod) {
        if let Some(owner) = Self::owner(pod) {
            self.queue
                .add(ObjectKey::new(&pod.metadata.namespace, &owner.name));
        }
    }

    fn pod_here(&self, pod: &Arc<Pod>, orphan_matters: bool) {
        if let Some(owner) = Self::owner(pod) {
            self.expectations.saw_creation(&owner.uid, &pod.metadata.uid);
            self.enqueue_owner(pod);
        } else if orphan_matters && pod.metadata.controller().is_none() {
            // Whoever selects it may adopt it.
            for set in self.sets.by_index(BY_NAMESPACE, &pod.metadata.namespace) {
                let set = set.set();
                if Selector::try_from(&set.spec.selector)
                    .is_ok_and(|selector| selector.matches(|key| pod.metadata.labels.get(key)))
                {
                    self.queue.add(set.metadata.key());
                }
            }
        }
    }

    fn pod_gone(&self, pod: &Arc<Pod>) {
        if let Some(owner) = Self::owner(pod) {
            self.expectations.saw_deletion(&owner.uid, &pod.metadata.uid);
            self.enqueue_owner(pod);
        }
    }

    fn pod_changed(&self, old: &Arc<Pod>, new: &Arc<Pod>) {
        if old.metadata.uid != new.metadata.uid {
            self.pod_gone(old);
        }
        if new.metadata.is_deleting() {
            self.pod_gone(new);
            return;
        }
        let moved = old.metadata.controller() != new.metadata.controller();
        if moved {
            self.enqueue_owner(old);
        }
        self.pod_here(new, moved || old.metadata.labels != new.metadata.labels);
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(held) = self.sets.get(key) else {
            return Ok(Next::Done);
        };
        let set = held.set();
        let (now, uid) = (Instant::now(), &set.metadata.uid);
        if !self.consistency.is_caught_up(uid, [&set.metadata], now) {
            return Ok(Next::After(std::time::Duration::from_secs(1))); // the set's own event comes sooner
        }
        let waiting = self.expectations.wait(uid, now);
        let selector = match Selector::try_from(&set.spec.selector) {
            Ok(selector) => selector,
            Err(problem) => {
                tracing::error!(kind = &*K::RESOURCE.kind, name = %key, "invalid selector: {problem}");
                return Ok(Next::Done);
            }
        };
        let mut all = self.pods.by_index(BY_OWNER, uid);
        all.extend(self.pods.by_index(BY_OWNER, &orphans_of(&set.metadata.namespace)));
        let terminating = all
            .iter()
            .filter(|pod| pod.is_terminating() && pod.metadata.is_controlled_by(uid))
            .count();
        let active: Vec<_> = all.into_iter().filter(|pod| pod.is_active()).collect();
        let claims = PodClaims {
            client: &self.context.client,
            resource: K::RESOURCE,
            owner: &set.metadata,
            selector: &selector,
            finalizer: None,
        };
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
            let written = self
                .context
                .client
                .update_status::<PartialObject, _>(K::RESOURCE, &key.namespace, &key.name, &body)
                .await
                .with_context(|| format!("updating the status of {} {key}", K::RESOURCE.kind))?;
            self.consistency.wrote(uid, &written.metadata, Instant::now());
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
        match plan::scale(set, active, || self.related(set), Timestamp::now()) {
            Scale::Nothing => Ok(()),
            Scale::Create(count) => self.create(set, count).await,
            Scale::Delete(pods) => self.delete(set, pods).await,
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
            .flat_map(|sibling| self.pods.by_index(BY_OWNER, &sibling.meta().uid))
            .collect()
    }

    async fn create(&self, set: &ReplicaSet, count: usize) -> Result<(), ApiError> {
        let uid = &set.metadata.uid;
        let body = pods::from_template(K::RESOURCE, &set.metadata, &set.spec.template)?;
        let control = PodControl::new(&self.context, &self.expectations, K::RESOURCE, &set.metadata);
        self.expectations.creating(uid, count, Instant::now());
        let result = Fan::slow_start(count).run(|_| control.create(body.clone())).await;
        for _ in 0..result.skipped {
            self.expectations.created(uid, None);
        }
        result.error.map_or(Ok(()), Err)
    }

    async fn delete(&self, set: &ReplicaSet, doomed: Vec<Arc<Pod>>) -> Result<(), ApiError> {
        let uid = &set.metadata.uid;
        let control = PodControl::new(&self.context, &self.expectations, K::RESOURCE, &set.metadata);
        self.expectations
            .deleting(uid, doomed.iter().map(|pod| &pod.metadata.uid), Instant::now());
        let (control, doomed) = (&control, &doomed);
        let result = Fan::all(doomed.len())
            .run(|index| async move {
                match doomed.get(index) {
                    Some(pod) => control.delete(pod).await,
                    None => Ok(()),
                }
            })
            .await;
        result.error.map_or(Ok(()), Err)
    }
}
