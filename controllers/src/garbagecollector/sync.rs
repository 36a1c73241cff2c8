//! Asks, patches, deletes.

use super::graph::{FOREGROUND, Graph, Node, ORPHAN, Work};
use super::plan::{self, Action, Owner};
use super::watches::{Kinds, Watches};
use crate::context::Context;
use machinery::client::{ApiError, DeleteOptions, PatchKind, Propagation};
use machinery::meta::resources::CUSTOM_RESOURCE_DEFINITIONS;
use machinery::meta::{Istr, ObjectMeta, OwnerRef, PartialObject, Resource};
use machinery::queue::{Next, Queue, run_workers};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Kinds are asked for at least this often, and when custom ones come and go or one is not served any more.
const REDISCOVER: Duration = Duration::from_secs(300);
/// The API server takes a moment to serve a new kind.
const SETTLE: Duration = Duration::from_secs(2);
/// How long an object waits whose owner is of a kind that is not served now.
const UNSERVED: Duration = Duration::from_secs(30);
/// An uid is never given twice, so an owner that was not there never will be; this bounds how many are remembered.
const REMEMBERED: usize = 4096;

struct Collector {
    context: Context,
    graph: Arc<Mutex<Graph>>,
    kinds: Arc<Kinds>,
    absent: Mutex<FxHashMap<Istr, Instant>>,
    rediscover: Arc<Notify>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let queue: Queue<Work> = Queue::new("garbage_collector_attempt_to_delete");
    let collector = Arc::new(Collector {
        graph: Arc::default(),
        kinds: Arc::default(),
        absent: Mutex::default(),
        rediscover: Arc::default(),
        context: context.clone(),
    });
    let mut watches = Watches::new(
        context.caches.clone(),
        collector.graph.clone(),
        queue.clone(),
        collector.kinds.clone(),
        collector.rediscover.clone(),
        context.stop.clone(),
    );
    // Nothing is deleted before everything was seen: an owner could be on a list that has not come yet.
    let first = async {
        loop {
            let refreshed = watches.refresh(&context.client).await;
            if refreshed.complete || !watches.is_empty() {
                return refreshed.listed().await;
            }
            tokio::time::sleep(SETTLE).await;
        }
    };
    if context.stop.run_until_cancelled(first).await.is_none() {
        return;
    }
    tracing::info!(
        objects = collector.graph.lock().len(),
        "garbage collector has seen all objects"
    );
    let definitions = machinery::cache::Cache::<PartialObject>::builder(
        context.caches.client(),
        &CUSTOM_RESOURCE_DEFINITIONS,
    )
    .metadata_only()
    .start(&context.stop);
    definitions.synced().await;
    let notify = collector.rediscover.clone();
    let first = definitions.len();
    let mut seen = 0;
    definitions.subscribe(move |_| {
        seen += 1;
        if seen > first {
            notify.notify_one();
        }
    });
    let (client, notify) = (context.client.clone(), collector.rediscover.clone());
    let rediscover = context.stop.run_until_cancelled(async move {
        let mut wait = REDISCOVER;
        loop {
            let _ = tokio::time::timeout(wait, notify.notified()).await;
            tokio::time::sleep(SETTLE).await;
            // Nobody waits for the first lists: a kind that is gone before it was listed must not keep others waiting.
            wait = if watches.refresh(&client).await.complete {
                REDISCOVER
            } else {
                UNSERVED
            };
        }
    });
    let (stop, ended) = (context.stop.clone(), queue.clone());
    let workers = context.config.concurrent_gc_syncs;
    let work = run_workers(&queue, workers, move |work| {
        let collector = collector.clone();
        async move { collector.sync(&work).await }
    });
    tokio::join!(work, rediscover, async {
        stop.cancelled().await;
        ended.shutdown();
    });
}

impl Collector {
    async fn sync(&self, work: &Work) -> Result<Next, ApiError> {
        let done = match work {
            Work::Look(uid) => self.look(uid).await,
            Work::Find(uid) => self.find(uid).await,
            Work::Orphan(uid) => self.orphan(uid).await,
        };
        match done {
            // It changed under us: the event is on its way, and the next try sees it.
            Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
            other => other,
        }
    }

    fn with<R>(&self, uid: &Istr, read: impl FnOnce(&Node) -> R) -> Option<R> {
        self.graph.lock().get(uid).map(read)
    }

    async fn look(&self, uid: &Istr) -> Result<Next, ApiError> {
        let Some((Some(place), waits)) = self.with(uid, |node| {
            (node.place.clone(), (node.deleting, node.deletes_dependents))
        }) else {
            return Ok(Next::Done);
        };
        match waits {
            (true, false) => return Ok(Next::Done), // on its way already
            (true, true) => {
                return self
                    .wait_for_dependents(uid, &place.resource, &place.namespace, &place.name)
                    .await;
            }
            _ => {}
        }
        if self.with(uid, |node| node.owners.is_empty()).unwrap_or(true) {
            return Ok(Next::Done);
        }
        if self.graph.lock().is_abandoned(uid) {
            // Nothing to ask: the version makes sure that we know its references as they are.
            let Some((version, wants)) = self.with(uid, |node| (node.resource_version.clone(), node.wants))
            else {
                return Ok(Next::Done);
            };
            let how = plan::propagation(wants.0, wants.1);
            tracing::debug!(resource = %place.resource, name = %place.name, ?how, "collecting");
            let options = DeleteOptions::default()
                .uid(&**uid)
                .resource_version(version)
                .propagation(how);
            missing_is_fine(
                self.context
                    .client
                    .delete(&place.resource, &place.namespace, &place.name, &options)
                    .await,
            )?;
            return Ok(Next::Done);
        }
        let Some(live) = self
            .live(&place.resource, &place.namespace, &place.name, uid)
            .await?
        else {
            return Ok(Next::Done); // gone: the event tells the graph
        };
        let mut states = Vec::with_capacity(live.owner_references.len());
        for owner in &live.owner_references {
            match self.owner(owner, &live.namespace).await? {
                Some(state) => states.push((owner.uid.clone(), state)),
                None => return Ok(Next::After(UNSERVED)),
            }
        }
        let (dependents, circle) = {
            let graph = self.graph.lock();
            (
                !graph.dependents(uid).is_empty(),
                graph.has_waiting_dependent(uid),
            )
        };
        let (client, resource) = (&self.context.client, &*place.resource);
        let options = DeleteOptions::default().uid(&**uid);
        match plan::plan(&live, &states, dependents, circle) {
            Action::Nothing => {}
            Action::Drop(gone) => {
                self.patch(resource, &live, &plan::references_patch(&live, Some(&gone)))
                    .await?
            }
            Action::Delete(how) => {
                tracing::debug!(%resource, object = %live.key(), ?how, "collecting");
                let options = options.resource_version(&*live.resource_version).propagation(how);
                missing_is_fine(
                    client
                        .delete(resource, &live.namespace, &live.name, &options)
                        .await,
                )?;
            }
            Action::DeleteForeground { unblock } => {
                if unblock {
                    self.patch(resource, &live, &plan::references_patch(&live, None))
                        .await?;
                }
                let options = options.propagation(Propagation::Foreground);
                missing_is_fine(
                    client
                        .delete(resource, &live.namespace, &live.name, &options)
                        .await,
                )?;
            }
        }
        Ok(Next::Done)
    }

    /// The object as the API server has it, if it still is this one.
    async fn live(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        uid: &Istr,
    ) -> Result<Option<ObjectMeta>, ApiError> {
        match self
            .context
            .client
            .get::<PartialObject>(resource, namespace, name)
            .await
        {
            Ok(live) => Ok(Some(live.metadata).filter(|meta| meta.uid == *uid)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an owner that only references tell of exists; if not, those that refer to it are looked at.
    async fn find(&self, uid: &Istr) -> Result<Next, ApiError> {
        let Some(Some((owner, namespace))) =
            self.with(uid, |node| node.seen_as.clone().filter(|_| node.place.is_none()))
        else {
            return Ok(Next::Done); // seen meanwhile
        };
        match self.owner(&owner, &namespace).await? {
            None => Ok(Next::After(UNSERVED)),
            Some(Owner::Gone) => {
                let dependents = self.graph.lock().dependents(uid);
                for dependent in dependents {
                    self.look(&dependent).await?;
                }
                Ok(Next::Done)
            }
            Some(_) => Ok(Next::Done),
        }
    }

    /// What an owner is, asked of the API server; `None` where its kind is not served.
    async fn owner(&self, owner: &OwnerRef, namespace: &Istr) -> Result<Option<Owner>, ApiError> {
        if self.absent.lock().contains_key(&owner.uid) {
            return Ok(Some(Owner::Gone));
        }
        let Some(resource) = self.kinds.find(&owner.api_version, &owner.kind) else {
            self.rediscover.notify_one();
            return Ok(None);
        };
        if resource.namespaced && namespace.is_empty() {
            // Something without a namespace cannot be owned from within one: nothing is decided by such a reference.
            return Ok(None);
        }
        let within = if resource.namespaced {
            namespace.as_str()
        } else {
            ""
        };
        let live = self.live(&resource, within, &owner.name, &owner.uid).await?;
        Ok(Some(match live {
            None => {
                self.remember_absent(&owner.uid);
                Owner::Gone
            }
            Some(live) if live.is_deleting() && live.has_finalizer(FOREGROUND) => Owner::Waiting,
            Some(_) => Owner::Solid,
        }))
    }

    fn remember_absent(&self, uid: &Istr) {
        let mut absent = self.absent.lock();
        if absent.len() >= REMEMBERED
            && let Some(oldest) = absent
                .iter()
                .min_by_key(|(_, since)| **since)
                .map(|(uid, _)| uid.clone())
        {
            absent.remove(&oldest);
        }
        absent.insert(uid.clone(), Instant::now());
    }

    /// An object that is deleted in the foreground goes when nothing that blocks it is left.
    async fn wait_for_dependents(
        &self,
        uid: &Istr,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Next, ApiError> {
        let blocking = self.graph.lock().blocking_dependents(uid);
        if !blocking.is_empty() {
            for dependent in blocking {
                if self
                    .with(&dependent, |node| !node.deletes_dependents)
                    .unwrap_or_default()
                {
                    Box::pin(self.look(&dependent)).await?;
                }
            }
            return Ok(Next::Done); // each that goes brings us back
        }
        self.remove_finalizer(uid, resource, namespace, name, FOREGROUND)
            .await
    }

    async fn remove_finalizer(
        &self,
        uid: &Istr,
        resource: &Resource,
        namespace: &str,
        name: &str,
        finalizer: &str,
    ) -> Result<Next, ApiError> {
        if let Some(live) = self.live(resource, namespace, name, uid).await?
            && live.has_finalizer(finalizer)
        {
            self.patch(resource, &live, &plan::finalizer_patch(&live, finalizer))
                .await?;
        }
        Ok(Next::Done)
    }

    /// Sets the dependents of an object free, then lets it go.
    async fn orphan(&self, uid: &Istr) -> Result<Next, ApiError> {
        let Some(Some(place)) = self.with(uid, |node| node.place.clone().filter(|_| node.orphans)) else {
            return Ok(Next::Done);
        };
        let dependents = self.graph.lock().dependents(uid);
        for dependent in dependents {
            let Some(Some(of)) = self.with(&dependent, |node| node.place.clone()) else {
                continue;
            };
            if let Some(live) = self
                .live(&of.resource, &of.namespace, &of.name, &dependent)
                .await?
                && live.owner_references.iter().any(|owner| owner.uid == *uid)
            {
                self.patch(
                    &of.resource,
                    &live,
                    &plan::references_patch(&live, Some(std::slice::from_ref(uid))),
                )
                .await?;
            }
        }
        self.remove_finalizer(uid, &place.resource, &place.namespace, &place.name, ORPHAN)
            .await
    }

    async fn patch(&self, resource: &Resource, object: &ObjectMeta, patch: &Value) -> Result<(), ApiError> {
        let answer = self
            .context
            .client
            .patch::<IgnoredAny, _>(resource, &object.namespace, &object.name, PatchKind::Merge, patch)
            .await;
        missing_is_fine(answer.map(|_| ()))
    }
}

fn missing_is_fine(answer: Result<(), ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
