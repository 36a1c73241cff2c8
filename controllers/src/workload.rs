//! What DaemonSets, StatefulSets and ReplicaSets have in common: a queue of owners, their pods' events, claiming pods.
//!
//! ```text
//! pod events -> expectations, queue (the owner, or whoever selects an orphan)
//! owner + its pods and orphans -> claim: adopt, release -> the owner's pods
//! ```

use crate::api::Pod;
use crate::caches::{BY_NAMESPACE, BY_OWNER, orphans_of};
use crate::context::Context;
use crate::ownership::{Claiming, Consistency, Expectations, PodClaims};
use crate::podcontrol::PodControl;
use crate::pods::Fan;
use crate::work;
use machinery::arith::{LabelSelector, Selector};
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, Bytes};
use machinery::meta::{Istr, Object, ObjectKey, ObjectMeta, ObjectRef, OwnerRef, Resource};
use machinery::queue::{Next, Queue};
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
        let stop = &self.context.stop;
        work::work(self.resource.clone(), &self.queue, workers, stop, sync).await;
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

    /// Follows owners of this kind, and pods. An orphan wakes the owners whose `selector` it fits: they may adopt it.
    pub fn follow<O: Object>(self: &Arc<Self>, owners: &Cache<O>, selector: fn(&O) -> &LabelSelector) {
        let this = self.clone();
        owners.subscribe(move |event| {
            match event {
                Event::Updated { old, new } if old.meta().uid != new.meta().uid => {
                    this.forget(&old.meta().uid);
                }
                Event::Deleted(last) => this.forget(&last.meta().uid),
                _ => {}
            }
            this.queue.add(event.object().meta().key());
        });
        let owners = owners.clone();
        self.follow_pods(move |pod| {
            let here = owners.by_index(BY_NAMESPACE, &pod.namespace);
            here.iter()
                .filter(|owner| selects(selector(owner), pod))
                .map(|owner| owner.meta().key())
                .collect()
        });
    }

    fn follow_pods(self: &Arc<Self>, selecting: impl Fn(&ObjectMeta) -> Vec<ObjectKey> + Send + 'static) {
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
        let claims = self.pod_claims(owner, selector);
        claims.claim_members(self.candidates(owner), member).await
    }

    /// The owner's pods, and those of its namespace that nothing controls.
    pub fn candidates(&self, owner: &ObjectMeta) -> Vec<Arc<Pod>> {
        let mut pods = self.pods.by_index(BY_OWNER, &owner.uid);
        pods.extend(self.pods.by_index(BY_OWNER, &orphans_of(&owner.namespace)));
        pods
    }

    /// For claiming just some of the [candidates](Self::candidates).
    pub fn pod_claims<'a>(&'a self, owner: &'a ObjectMeta, selector: &'a Selector) -> PodClaims<'a> {
        PodClaims {
            client: &self.context.client,
            resource: &self.resource,
            owner,
            selector,
            finalizer: None,
        }
    }

    /// For claiming what is not a pod.
    pub fn claiming<'a>(&'a self, owner: &'a ObjectMeta) -> Claiming<'a> {
        Claiming::new(&self.context.client, &self.resource, owner)
    }

    /// Creates a pod of each body, slowly at first; events tell of each.
    ///
    /// # Errors
    /// The first failure.
    pub async fn create_pods(&self, owner: &ObjectMeta, bodies: &[Bytes]) -> Result<(), ApiError> {
        let control = self.pod_control(owner);
        self.expectations
            .creating(&owner.uid, bodies.len(), Instant::now());
        let outcome = Fan::slow_start(bodies.len())
            .run(async |index| match bodies.get(index) {
                Some(body) => control.create(body.clone()).await,
                None => Ok(()),
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
        let control = self.pod_control(owner);
        let uids = doomed.iter().map(|pod| &pod.metadata.uid);
        self.expectations.deleting(&owner.uid, uids, Instant::now());
        let outcome = Fan::all(doomed.len())
            .run(async |index| match doomed.get(index) {
                Some(pod) => control.delete(pod).await,
                None => Ok(()),
            })
            .await;
        outcome.error.map_or(Ok(()), Err)
    }

    fn pod_control<'a>(&'a self, owner: &'a ObjectMeta) -> PodControl<'a> {
        PodControl::new(&self.context, &self.expectations, &self.resource, owner)
    }
}
