//! Watches and writes.

use super::plan::{self, MANAGED_BY, MANAGER, NodeZone, Plan};
use super::tracker::Tracker;
use super::trigger::{LAST_CHANGE, Triggers};
use crate::api::{EndpointSlice, Node, Object, Pod, Service};
use crate::caches::{BY_NAMESPACE, BY_SERVICE};
use crate::context::Context;
use crate::pods::reason;
use crate::work::until_stopped;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions};
use machinery::meta::resources::{ENDPOINT_SLICES, SERVICES};
use machinery::meta::{ObjectKey, ObjectMeta, ObjectRef, PartialObject};
use machinery::queue::{Next, Queue};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After a slice changed under us, let a second one follow before looking again.
const SLICE_DELAY: Duration = Duration::from_secs(1);
/// How often a Service is tried again before it waits for its next event.
const RETRIES: u32 = 15;
const ZONE: &str = "topology.kubernetes.io/zone";

struct Controller {
    context: Context,
    services: Cache<Service>,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    slices: Cache<EndpointSlice>,
    queue: Queue<ObjectKey>,
    tracker: Tracker,
    triggers: Triggers,
    /// Services with pods on nodes that the cache does not show.
    lacking_nodes: Mutex<FxHashSet<ObjectKey>>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        services: context.caches.services().clone(),
        pods: context.caches.pods().clone(),
        nodes: context.caches.nodes().clone(),
        slices: context.caches.endpoint_slices().clone(),
        queue: Queue::new("endpoint_slice"),
        tracker: Tracker::default(),
        triggers: Triggers::default(),
        lacking_nodes: Mutex::default(),
        context,
    });
    tokio::join!(
        controller.pods.synced(),
        controller.services.synced(),
        controller.nodes.synced(),
        controller.slices.synced()
    );
    controller.subscribe();
    let workers = controller.context.config.concurrent_service_endpoint_syncs;
    let stop = controller.context.stop.clone();
    let queue = controller.queue.clone();
    until_stopped(&queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.services
            .subscribe(move |event| this.queue.add(event.object().metadata.key()));
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            // Services bring their pods with them when they are seen first.
            Event::Added(pod) if pod.status.pod_ips.is_empty() => {}
            Event::Added(pod) | Event::Deleted(pod) => this.pod_changed(pod),
            Event::Updated { old, new } => {
                let named = |pod: &Pod| (pod.spec.hostname.clone(), pod.spec.subdomain.clone());
                let relabelled = old.metadata.labels != new.metadata.labels || named(old) != named(new);
                if relabelled {
                    this.pod_changed(old);
                }
                let changed = old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
                    || old.is_ready() != new.is_ready()
                    || old.status.pod_ips != new.status.pod_ips
                    || old.status.phase != new.status.phase;
                if relabelled || changed {
                    this.pod_changed(new);
                }
            }
        });
        let this = self.clone();
        self.nodes.subscribe(move |event| {
            if matches!(event, Event::Added(_)) {
                this.node_came();
            }
        });
        let this = self.clone();
        self.slices.subscribe(move |event| match event {
            Event::Added(slice) | Event::Deleted(slice) => this.slice_changed(slice, None),
            Event::Updated { old, new } => this.slice_changed(new, Some(old)),
        });
    }

    /// A node came: Services that lacked one look again.
    fn node_came(&self) {
        let lacking = std::mem::take(&mut *self.lacking_nodes.lock());
        lacking.into_iter().for_each(|key| self.queue.add(key));
    }

    fn pod_changed(&self, pod: &Pod) {
        let delay = self.context.config.endpointslice_updates_batch_period;
        for service in self.services.by_index(BY_NAMESPACE, &pod.metadata.namespace) {
            if service.selects(&pod.metadata.labels) {
                if delay.is_zero() {
                    self.queue.add(service.metadata.key())
                } else {
                    self.queue.add_after(service.metadata.key(), delay)
                }
            }
        }
    }

    fn slice_changed(&self, slice: &EndpointSlice, old: Option<&EndpointSlice>) {
        for key in old
            .and_then(EndpointSlice::service)
            .into_iter()
            .chain(slice.service())
        {
            // Our own writes come back too: while they are awaited they only end the wait.
            if self.tracker.is_waiting(&key) {
                let slices = self.slices.by_index(BY_SERVICE, &key.to_string());
                if !self.tracker.is_stale(&key, &slices, Instant::now()) {
                    self.queue.add(key);
                }
            } else if slice.metadata.labels.get(MANAGED_BY) == Some(MANAGER)
                || old.is_some_and(|old| old.metadata.labels.get(MANAGED_BY) == Some(MANAGER))
            {
                self.queue.add_after(
                    key,
                    SLICE_DELAY.max(self.context.config.endpointslice_updates_batch_period),
                );
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(service) = self.services.get(key) else {
            self.tracker.forget(key);
            self.triggers.forget(key);
            return Ok(Next::Done); // the garbage collector takes the slices
        };
        if service.spec.kind == "ExternalName" || service.spec.selector.is_none() {
            return Ok(Next::Done);
        }
        let mut slices = self.slices.by_index(BY_SERVICE, &key.to_string());
        if self.tracker.is_stale(key, &slices, Instant::now()) {
            return Ok(Next::After(SLICE_DELAY)); // the slices' own events come sooner
        }
        slices.retain(|slice| {
            slice.metadata.labels.get(MANAGED_BY) == Some(MANAGER) && !slice.metadata.is_deleting()
        });
        slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let mut pods = self.pods.by_index(BY_NAMESPACE, &key.namespace);
        pods.retain(|pod| service.selects(&pod.metadata.labels));
        let trigger = self.triggers.since_last(&service, &pods);
        let zone_of = |name: &str| match self.nodes.get(&ObjectKey::cluster(name)) {
            Some(node) => NodeZone::Known(
                node.metadata
                    .labels
                    .get(ZONE)
                    .filter(|zone| !zone.is_empty())
                    .map(Into::into),
            ),
            None => NodeZone::Unknown,
        };
        let plan = plan::plan(
            &service,
            &pods,
            zone_of,
            &slices,
            self.context.config.max_endpoints_per_slice,
        );
        let unknown = plan.unknown_nodes.first().cloned();
        if let Err(error) = self.carry_out(&service, plan, trigger).await {
            if error.is_namespace_terminating() {
                return Ok(Next::Done);
            }
            let about = ObjectRef::new(&SERVICES, &service.metadata);
            let message = format!(
                "Error updating Endpoint Slices for Service {key}: {}",
                reason(&error)
            );
            self.context
                .events
                .warning(&about, "FailedToUpdateEndpointSlices", message);
            return self.again(key, anyhow::Error::new(error));
        }
        if let Some((pod, node)) = unknown {
            tracing::info!(service = %key, %pod, %node, "leaving a pod out until its node is known");
            self.lacking_nodes.lock().insert(key.clone());
        }
        Ok(Next::Done)
    }

    fn again(&self, key: &ObjectKey, error: anyhow::Error) -> anyhow::Result<Next> {
        if self.queue.num_requeues(key) < RETRIES {
            return Err(error);
        }
        tracing::warn!(service = %key, "giving up until something changes: {error:#}");
        Ok(Next::Done)
    }

    async fn carry_out(
        &self,
        service: &Service,
        plan: Plan,
        trigger: Option<Timestamp>,
    ) -> Result<(), ApiError> {
        let (key, client) = (service.metadata.key(), &self.context.client);
        if !service.metadata.is_deleting() {
            for slice in plan.create {
                let body = body(slice, trigger);
                let written: PartialObject = client.create(&ENDPOINT_SLICES, &key.namespace, &body).await?;
                self.wrote(&key, written);
            }
        }
        for slice in plan.update {
            let name = slice.metadata.name.clone();
            let body = body(slice, trigger);
            let written: PartialObject = client
                .update(&ENDPOINT_SLICES, &key.namespace, &name, &body)
                .await?;
            self.wrote(&key, written);
        }
        for slice in plan.delete {
            match client
                .delete(
                    &ENDPOINT_SLICES,
                    &key.namespace,
                    &slice.metadata.name,
                    &DeleteOptions::default(),
                )
                .await
            {
                Ok(()) => self
                    .tracker
                    .deleted(&key, slice.metadata.uid.clone(), Instant::now()),
                Err(gone) if gone.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wrote(&self, service: &ObjectKey, written: PartialObject) {
        let PartialObject {
            metadata: ObjectMeta { uid, generation, .. },
        } = written;
        self.tracker.wrote(service, uid, generation, Instant::now());
    }
}

/// A slice on its way to the API server.
fn body(mut slice: EndpointSlice, trigger: Option<Timestamp>) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Rest {
        address_type: machinery::meta::Istr,
        endpoints: Vec<crate::api::Endpoint>,
        ports: Vec<crate::api::EndpointPort>,
    }
    match trigger {
        Some(at) => {
            slice.metadata.annotations.insert(LAST_CHANGE, at.to_string());
        }
        None => {
            slice.metadata.annotations.remove(LAST_CHANGE);
        }
    }
    let EndpointSlice {
        metadata,
        address_type,
        endpoints,
        ports,
    } = slice;
    Object::new(
        &ENDPOINT_SLICES,
        metadata,
        Rest {
            address_type,
            endpoints,
            ports,
        },
    )
}
