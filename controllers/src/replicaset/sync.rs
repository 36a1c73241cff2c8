//! Watches, claims, writes.

use super::plan::{self, Scale};
use super::status::status;
use crate::api::{Pod, ReplicaSet, status_update};
use crate::caches::{BY_NAMESPACE, BY_OWNER, orphans_of};
use crate::context::Context;
use crate::ownership::{Claim, Claimant, Consistency, Expectations, adoption_patch, claim, release_patch};
use crate::pods::{self, Fan};
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions, PatchKind};
use machinery::meta::resources::{PODS, REPLICA_SETS};
use machinery::meta::{ObjectKey, ObjectMeta, ObjectRef, OwnerRef, PartialObject};
use machinery::queue::{Next, Queue, run_workers};
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Instant;

struct Controller {
    context: Context,
    pods: Cache<Pod>,
    sets: Cache<ReplicaSet>,
    queue: Queue<ObjectKey>,
    expectations: Expectations,
    consistency: Consistency,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        sets: context.caches.replica_sets().clone(),
        queue: Queue::new("replicaset"),
        expectations: Expectations::default(),
        consistency: Consistency::default(),
        context,
    });
    controller.subscribe();
    tokio::join!(controller.sets.synced(), controller.pods.synced());
    let workers = controller.context.config.concurrent_replicaset_syncs;
    let stop = controller.context.stop.clone();
    let queue = controller.queue.clone();
    let work = run_workers(&queue, workers, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
    tokio::join!(work, async {
        stop.cancelled().await;
        queue.shutdown();
    });
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.sets.subscribe(move |event| {
            match event {
                Event::Updated { old, new } if old.metadata.uid != new.metadata.uid => {
                    this.forget(&old.metadata)
                }
                Event::Deleted(last) => this.forget(&last.metadata),
                _ => {}
            }
            this.queue.add(event.object().metadata.key());
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
            .filter(|owner| owner.kind == "ReplicaSet")
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
        let Some(set) = self.sets.get(key) else {
            return Ok(Next::Done);
        };
        let (now, uid) = (Instant::now(), &set.metadata.uid);
        if !self.consistency.is_caught_up(uid, [&set.metadata], now) {
            return Ok(Next::After(std::time::Duration::from_secs(1))); // the set's own event comes sooner
        }
        let waiting = self.expectations.wait(uid, now);
        let selector = match Selector::try_from(&set.spec.selector) {
            Ok(selector) => selector,
            Err(problem) => {
                tracing::error!(replica_set = %key, "invalid selector: {problem}");
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
        let active = self.claim(&set, &selector, active).await?;
        let mut failure = None;
        if waiting.is_none() && !set.metadata.is_deleting() {
            failure = self.scale(&set, &active).await.err();
        }
        let clock = Timestamp::now();
        let text = failure.as_ref().map(ToString::to_string);
        let wanted = status(&set, &active, terminating, text.as_deref(), clock);
        if wanted != set.status {
            let body = status_update(&REPLICA_SETS, &set.metadata, &wanted);
            match self
                .context
                .client
                .update_status::<PartialObject, _>(&REPLICA_SETS, &key.namespace, &key.name, &body)
                .await
            {
                Ok(written) => self.consistency.wrote(uid, &written.metadata, Instant::now()),
                Err(gone) if gone.is_not_found() => {}
                // Somebody else wrote it: its event brings us back.
                Err(conflict) if conflict.is_conflict() && failure.is_none() => return Ok(Next::BackOff),
                Err(error) => {
                    return Err(error).with_context(|| format!("updating the status of ReplicaSet {key}"));
                }
            }
        }
        if let Some(error) = failure {
            return Err(anyhow::Error::new(error).context(format!("scaling ReplicaSet {key}")));
        }
        let available = plan::next_available(&active, set.spec.min_ready_seconds, clock);
        Ok([waiting, available]
            .into_iter()
            .flatten()
            .min()
            .map_or(Next::Done, Next::After))
    }

    /// The pods that are the set's, after adopting and releasing.
    async fn claim(
        &self,
        set: &ReplicaSet,
        selector: &Selector,
        pods: Vec<Arc<Pod>>,
    ) -> anyhow::Result<Vec<Arc<Pod>>> {
        let claimant = Claimant {
            meta: &set.metadata,
            selector,
        };
        let mut owned = Vec::with_capacity(pods.len());
        let mut may_adopt = None;
        for pod in pods {
            let name = (&pod.metadata.namespace, &pod.metadata.name);
            match claim(&claimant, &pod.metadata) {
                Claim::Ignore => {}
                Claim::Own => owned.push(pod),
                Claim::Adopt => {
                    if may_adopt.is_none() {
                        may_adopt = Some(self.may_adopt(&set.metadata).await?);
                    }
                    let owner = OwnerRef::controller(&REPLICA_SETS, &set.metadata);
                    let patch = adoption_patch(&owner, &pod.metadata.uid);
                    if may_adopt == Some(true) && self.patch_pod(name.0, name.1, &patch).await? {
                        owned.push(pod);
                    }
                }
                Claim::Release => {
                    let patch = release_patch(&set.metadata.uid, &pod.metadata.uid);
                    self.patch_pod(name.0, name.1, &patch).await?;
                }
            }
        }
        Ok(owned)
    }

    /// Asks the API server, since the cache may not show yet that the set is being deleted.
    async fn may_adopt(&self, set: &ObjectMeta) -> Result<bool, ApiError> {
        match self
            .context
            .client
            .get::<PartialObject>(&REPLICA_SETS, &set.namespace, &set.name)
            .await
        {
            Ok(fresh) => Ok(fresh.metadata.uid == set.uid && !fresh.metadata.is_deleting()),
            Err(gone) if gone.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the pod was there to patch.
    async fn patch_pod(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<bool, ApiError> {
        match self
            .context
            .client
            .patch::<IgnoredAny, _>(&PODS, namespace, name, PatchKind::Strategic, patch)
            .await
        {
            Ok(_) => Ok(true),
            Err(gone) if gone.is_not_found() || gone.is_invalid() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn scale(&self, set: &Arc<ReplicaSet>, active: &[Arc<Pod>]) -> Result<(), ApiError> {
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
            .flat_map(|sibling| self.pods.by_index(BY_OWNER, &sibling.metadata.uid))
            .collect()
    }

    async fn create(&self, set: &Arc<ReplicaSet>, count: usize) -> Result<(), ApiError> {
        let uid = &set.metadata.uid;
        let about = ObjectRef::new(&REPLICA_SETS, &set.metadata);
        let body = pods::from_template(&REPLICA_SETS, &set.metadata, &set.spec.template)?;
        let (path, client) = (
            PODS.collection_path(&set.metadata.namespace),
            &self.context.client,
        );
        self.expectations.creating(uid, count, Instant::now());
        let result = Fan::slow_start(count)
            .run(|_| async {
                match client
                    .raw::<PartialObject>(http::Method::POST, &path, "application/json", body.clone())
                    .await
                {
                    Ok(pod) => {
                        self.expectations.created(uid, Some(&pod.metadata.uid));
                        self.context.events.normal(
                            &about,
                            "SuccessfulCreate",
                            format_args!("Created pod: {}", pod.metadata.name),
                        );
                        Ok(())
                    }
                    Err(error) => {
                        self.expectations.created(uid, None);
                        if error.is_namespace_terminating() {
                            return Ok(()); // nothing can be created there any more
                        }
                        self.context.events.warning(
                            &about,
                            "FailedCreate",
                            format_args!("Error creating: {}", pods::reason(&error)),
                        );
                        Err(error)
                    }
                }
            })
            .await;
        for _ in 0..result.skipped {
            self.expectations.created(uid, None);
        }
        result.error.map_or(Ok(()), Err)
    }

    async fn delete(&self, set: &Arc<ReplicaSet>, doomed: Vec<Arc<Pod>>) -> Result<(), ApiError> {
        let uid = &set.metadata.uid;
        let about = ObjectRef::new(&REPLICA_SETS, &set.metadata);
        self.expectations
            .deleting(uid, doomed.iter().map(|pod| &pod.metadata.uid), Instant::now());
        let (doomed, about) = (&doomed, &about);
        let result = Fan::all(doomed.len())
            .run(|index| async move {
                let Some(pod) = doomed.get(index) else {
                    return Ok(());
                };
                let meta = &pod.metadata;
                match self
                    .context
                    .client
                    .delete(
                        &PODS,
                        &meta.namespace,
                        &meta.name,
                        &DeleteOptions::default().uid(&*meta.uid),
                    )
                    .await
                {
                    Ok(()) => {
                        self.context.events.normal(
                            about,
                            "SuccessfulDelete",
                            format_args!("Deleted pod: {}", meta.name),
                        );
                        Ok(())
                    }
                    Err(error) => {
                        self.expectations.saw_deletion(uid, &meta.uid);
                        if error.is_not_found() || error.is_conflict() {
                            return Ok(()); // gone already, or another pod by now
                        }
                        self.context.events.warning(
                            about,
                            "FailedDelete",
                            format_args!("Error deleting: {}", pods::reason(&error)),
                        );
                        Err(error)
                    }
                }
            })
            .await;
        result.error.map_or(Ok(()), Err)
    }
}
