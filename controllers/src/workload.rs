//! What DaemonSets and StatefulSets have in common: a queue of owners, their pods' events, claiming pods.
//!
//! ```text
//! pod events -> expectations, queue (the owner, or whoever selects an orphan)
//! owner + its pods and orphans -> claim: adopt, release -> the owner's pods
//! ```

use crate::api::Pod;
use crate::caches::{BY_OWNER, orphans_of};
use crate::context::Context;
use crate::ownership::{Claim, Claimant, Consistency, Expectations, adoption_patch, claim, release_patch};
use crate::pods::{self, Fan};
use machinery::arith::{LabelSelector, Selector};
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, Bytes, DeleteOptions, PatchKind};
use machinery::meta::resources::PODS;
use machinery::meta::{Istr, ObjectKey, ObjectMeta, ObjectRef, OwnerRef, PartialObject, Resource};
use machinery::queue::{Next, Queue, run_workers};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

/// One kind of owner of pods.
pub struct Workload {
    pub resource: Resource,
    pub context: Context,
    pub pods: Cache<Pod>,
    pub queue: Queue<ObjectKey>,
    pub expectations: Expectations,
    pub consistency: Consistency,
}

/// Whether a selector as objects hold it selects these labels; none that is empty or invalid does.
pub fn selects(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    Selector::try_from(selector)
        .is_ok_and(|selector| !selector.is_everything() && selector.matches(|key| meta.labels.get(key)))
}

impl Workload {
    pub fn new(context: Context, resource: Resource, queue: &str) -> Self {
        Self {
            resource,
            pods: context.caches.pods().clone(),
            queue: Queue::new(queue),
            expectations: Expectations::default(),
            consistency: Consistency::default(),
            context,
        }
    }

    /// Works on the queue until the context is stopped.
    pub async fn work<F, W>(&self, workers: usize, sync: W)
    where
        F: Future<Output = anyhow::Result<Next>> + Send,
        W: Fn(ObjectKey) -> F + Clone + Send + Sync + 'static,
    {
        let (queue, stop) = (self.queue.clone(), self.context.stop.clone());
        tokio::join!(run_workers(&self.queue, workers, sync), async {
            stop.cancelled().await;
            queue.shutdown();
        });
    }

    /// An owner of this kind, as events and references name it.
    pub fn reference(&self, owner: &ObjectMeta) -> ObjectRef {
        ObjectRef::new(&self.resource, owner)
    }

    /// An owner is gone.
    pub fn forget(&self, uid: &Istr) {
        self.expectations.forget(uid);
        self.consistency.forget(uid);
    }

    fn owner<'m>(&self, meta: &'m ObjectMeta) -> Option<&'m OwnerRef> {
        meta.controller()
            .filter(|owner| *owner.kind == *self.resource.kind)
    }

    fn enqueue_owner(&self, meta: &ObjectMeta) {
        if let Some(owner) = self.owner(meta) {
            self.queue.add(ObjectKey::new(&meta.namespace, &owner.name));
        }
    }

    /// Follows pods; `selecting` names the owners that may adopt an orphan.
    pub fn follow_pods(self: &Arc<Self>, selecting: impl Fn(&ObjectMeta) -> Vec<ObjectKey> + Send + 'static) {
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Added(pod) if pod.metadata.is_deleting() => this.pod_gone(pod),
            Event::Added(pod) => this.pod_here(pod, true, &selecting),
            Event::Deleted(pod) => this.pod_gone(pod),
            Event::Updated { old, new } => {
                if old.metadata.uid != new.metadata.uid {
                    this.pod_gone(old);
                }
                if new.metadata.is_deleting() {
                    this.pod_gone(new);
                    return;
                }
                let moved = old.metadata.controller() != new.metadata.controller();
                if moved {
                    this.enqueue_owner(&old.metadata);
                }
                this.pod_here(
                    new,
                    moved || old.metadata.labels != new.metadata.labels,
                    &selecting,
                );
            }
        });
    }

    fn pod_here(&self, pod: &Pod, orphan_matters: bool, selecting: &impl Fn(&ObjectMeta) -> Vec<ObjectKey>) {
        if let Some(owner) = self.owner(&pod.metadata) {
            self.expectations.saw_creation(&owner.uid, &pod.metadata.uid);
            self.enqueue_owner(&pod.metadata);
        } else if orphan_matters && pod.metadata.controller().is_none() {
            for key in selecting(&pod.metadata) {
                self.queue.add(key);
            }
        }
    }

    fn pod_gone(&self, pod: &Pod) {
        if let Some(owner) = self.owner(&pod.metadata) {
            self.expectations.saw_deletion(&owner.uid, &pod.metadata.uid);
            self.enqueue_owner(&pod.metadata);
        }
    }

    /// The owner's pods, after adopting and releasing. A pod that is no `member` is treated as if it were not selected.
    ///
    /// # Errors
    /// The API server refused to look the owner up, or to change a pod.
    pub async fn claim_pods(
        &self,
        owner: &ObjectMeta,
        selector: &Selector,
        member: impl Fn(&Pod) -> bool,
    ) -> Result<Vec<Arc<Pod>>, ApiError> {
        let mut candidates = self.pods.by_index(BY_OWNER, &owner.uid);
        candidates.extend(self.pods.by_index(BY_OWNER, &orphans_of(&owner.namespace)));
        let mut adoption = Adoption::default();
        let mut owned = Vec::with_capacity(candidates.len());
        for pod in candidates {
            let decision = decide(owner, selector, &pod.metadata, || member(&pod));
            let keep = adoption
                .act(self, owner, decision, &pod.metadata, async |patch| {
                    self.patch_pod(&pod.metadata, &patch).await
                })
                .await?;
            if keep {
                owned.push(pod);
            }
        }
        Ok(owned)
    }

    /// Asks the API server, since the cache may not show yet that the owner is being deleted.
    pub(crate) async fn may_adopt(&self, owner: &ObjectMeta) -> Result<bool, ApiError> {
        let fresh = self
            .context
            .client
            .get::<PartialObject>(&self.resource, &owner.namespace, &owner.name)
            .await;
        match fresh {
            Ok(fresh) => Ok(fresh.metadata.uid == owner.uid && !fresh.metadata.is_deleting()),
            Err(gone) if gone.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the pod was there to patch.
    async fn patch_pod(&self, pod: &ObjectMeta, patch: &Value) -> Result<bool, ApiError> {
        match self
            .context
            .client
            .patch::<IgnoredAny, _>(&PODS, &pod.namespace, &pod.name, PatchKind::Strategic, patch)
            .await
        {
            Ok(_) => Ok(true),
            Err(gone) if gone.is_not_found() || gone.is_invalid() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What an owner does about an object that may be its own. One that is no `member` counts as not selected.
pub fn decide(
    owner: &ObjectMeta,
    selector: &Selector,
    object: &ObjectMeta,
    member: impl Fn() -> bool,
) -> Claim {
    match claim(
        &Claimant {
            meta: owner,
            selector,
        },
        object,
    ) {
        decision @ (Claim::Own | Claim::Adopt) if member() => decision,
        Claim::Own if !owner.is_deleting() => Claim::Release,
        Claim::Own | Claim::Adopt => Claim::Ignore,
        decision => decision,
    }
}

/// The answer of the API server about whether an owner may adopt, asked for once.
#[derive(Default)]
pub struct Adoption(Option<bool>);

impl Adoption {
    /// Acts on a decision by `patch`; whether the object is the owner's afterwards.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn act(
        &mut self,
        workload: &Workload,
        owner: &ObjectMeta,
        decision: Claim,
        object: &ObjectMeta,
        patch: impl AsyncFnOnce(Value) -> Result<bool, ApiError>,
    ) -> Result<bool, ApiError> {
        match decision {
            Claim::Ignore => Ok(false),
            Claim::Own => Ok(true),
            Claim::Adopt => {
                let may = match self.0 {
                    Some(known) => known,
                    None => *self.0.insert(workload.may_adopt(owner).await?),
                };
                let owner = OwnerRef::controller(&workload.resource, owner);
                Ok(may && patch(adoption_patch(&owner, &object.uid)).await?)
            }
            Claim::Release => {
                patch(release_patch(&owner.uid, &object.uid)).await?;
                Ok(false)
            }
        }
    }
}

impl Workload {
    /// Creates a pod of each body, slowly at first; events tell of each.
    ///
    /// # Errors
    /// The first failure.
    pub async fn create_pods(&self, owner: &ObjectMeta, bodies: &[Bytes]) -> Result<(), ApiError> {
        let (path, about) = (PODS.collection_path(&owner.namespace), self.reference(owner));
        self.expectations
            .creating(&owner.uid, bodies.len(), Instant::now());
        let outcome = Fan::slow_start(bodies.len())
            .run(async |index| {
                let Some(body) = bodies.get(index) else {
                    return Ok(());
                };
                let created = self
                    .context
                    .client
                    .raw::<PartialObject>(http::Method::POST, &path, "application/json", body.clone())
                    .await;
                let uid = created.as_ref().ok().map(|pod| &pod.metadata.uid);
                self.expectations.created(&owner.uid, uid);
                match created {
                    Ok(pod) => {
                        let message = format_args!("Created pod: {}", pod.metadata.name);
                        self.context.events.normal(&about, "SuccessfulCreate", message);
                        Ok(())
                    }
                    // Nothing can be created there any more.
                    Err(error) if error.is_namespace_terminating() => Ok(()),
                    Err(error) => {
                        let message = format_args!("Error creating: {}", pods::reason(&error));
                        self.context.events.warning(&about, "FailedCreate", message);
                        Err(error)
                    }
                }
            })
            .await;
        for _ in 0..outcome.skipped {
            self.expectations.created(&owner.uid, None);
        }
        outcome.error.map_or(Ok(()), Err)
    }

    /// Deletes pods all at once; events tell of each.
    ///
    /// # Errors
    /// The first failure.
    pub async fn delete_pods(&self, owner: &ObjectMeta, doomed: &[Arc<Pod>]) -> Result<(), ApiError> {
        let about = self.reference(owner);
        let uids = doomed.iter().map(|pod| &pod.metadata.uid);
        self.expectations.deleting(&owner.uid, uids, Instant::now());
        let outcome = Fan::all(doomed.len())
            .run(async |index| {
                let Some(meta) = doomed.get(index).map(|pod| &pod.metadata) else {
                    return Ok(());
                };
                let options = DeleteOptions::default().uid(&*meta.uid);
                let deleted = self
                    .context
                    .client
                    .delete(&PODS, &meta.namespace, &meta.name, &options)
                    .await;
                match deleted {
                    Ok(()) => {
                        let message = format_args!("Deleted pod: {}", meta.name);
                        self.context.events.normal(&about, "SuccessfulDelete", message);
                        Ok(())
                    }
                    Err(error) => {
                        self.expectations.saw_deletion(&owner.uid, &meta.uid);
                        if error.is_not_found() || error.is_conflict() {
                            return Ok(()); // gone already, or another pod by now
                        }
                        let message = format_args!("Error deleting: {}", pods::reason(&error));
                        self.context.events.warning(&about, "FailedDelete", message);
                        Err(error)
                    }
                }
            })
            .await;
        outcome.error.map_or(Ok(()), Err)
    }
}
