//! Watches and writes.

use super::plan::{Write, is_ours, plan};
use crate::api::{EndpointSubset, Endpoints, Object, Pod, Service};
use crate::caches::BY_NAMESPACE;
use crate::context::Context;
use crate::endpointslice::trigger::Triggers;
use crate::pods::reason;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions};
use machinery::meta::resources::ENDPOINTS;
use machinery::meta::{ObjectKey, ObjectRef, PartialObject};
use machinery::queue::{Next, Queue};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::sync::Arc;

/// How often a Service is tried again before it waits for its next event.
const RETRIES: u32 = 15;
/// On Endpoints that elect a leader and have no Service.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

struct Controller {
    context: Context,
    services: Cache<Service>,
    pods: Cache<Pod>,
    endpoints: Cache<Endpoints>,
    queue: Queue<ObjectKey>,
    triggers: Triggers,
    /// Resource versions that we replaced: while the cache shows one of them it is behind.
    replaced: Mutex<FxHashMap<ObjectKey, Box<str>>>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        services: context.caches.services().clone(),
        pods: context.caches.pods().clone(),
        endpoints: context.caches.endpoints().clone(),
        queue: Queue::new("endpoint"),
        triggers: Triggers::default(),
        replaced: Mutex::default(),
        context,
    });
    tokio::join!(
        controller.pods.synced(),
        controller.services.synced(),
        controller.endpoints.synced()
    );
    // Services may have been deleted while nobody looked.
    for left in controller.endpoints.list() {
        if !left.metadata.annotations.contains_key(LEADER) {
            controller.queue.add(left.metadata.key());
        }
    }
    controller.subscribe();
    let workers = controller.context.config.concurrent_endpoint_syncs;
    let (stop, queue) = (controller.context.stop.clone(), controller.queue.clone());
    until_stopped(&queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

/// Whether a pod changed in a way that Endpoints show.
fn matters(old: &Pod, new: &Pod) -> bool {
    old.metadata.is_deleting() != new.metadata.is_deleting()
        || old.is_ready() != new.is_ready()
        || old.status.pod_ips != new.status.pod_ips
        || old.status.phase != new.status.phase
        || old.metadata.uid != new.metadata.uid
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.services
            .subscribe(move |event| this.queue.add(event.object().metadata.key()));
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Added(pod) if pod.status.pod_ips.is_empty() => {}
            Event::Added(pod) | Event::Deleted(pod) => this.pod_changed(pod),
            Event::Updated { old, new } => {
                let named = |pod: &Pod| (pod.spec.hostname.clone(), pod.spec.subdomain.clone());
                let moved = old.metadata.labels != new.metadata.labels || named(old) != named(new);
                if moved {
                    this.pod_changed(old);
                }
                if moved || matters(old, new) {
                    this.pod_changed(new);
                }
            }
        });
        let this = self.clone();
        self.endpoints.subscribe(move |event| {
            let key = event.object().metadata.key();
            // What is deleted is made again; what we wrote ends the wait for it.
            if this.replaced.lock().contains_key(&key) || matches!(event, Event::Deleted(_)) {
                this.queue.add(key);
            }
        });
    }

    fn pod_changed(&self, pod: &Pod) {
        let delay = self.context.config.endpoint_updates_batch_period;
        for service in self.services.by_index(BY_NAMESPACE, &pod.metadata.namespace) {
            if service.selects(&pod.metadata.labels) {
                self.queue.add_after(service.metadata.key(), delay);
            }
        }
    }

    /// Whether the cache still shows what we replaced.
    fn is_behind(&self, key: &ObjectKey, held: Option<&Endpoints>) -> bool {
        let mut replaced = self.replaced.lock();
        let Some(version) = replaced.get(key) else {
            return false;
        };
        if held.is_some_and(|held| held.metadata.resource_version == *version) {
            return true;
        }
        replaced.remove(key);
        false
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let held = self.endpoints.get(key);
        let Some(service) = self.services.get(key) else {
            self.triggers.forget(key);
            self.replaced.lock().remove(key);
            return self.delete(key, held.is_some()).await;
        };
        if !is_ours(&service) {
            return Ok(Next::Done);
        }
        if self.is_behind(key, held.as_deref()) {
            if self.queue.num_requeues(key) > RETRIES {
                self.replaced.lock().remove(key);
            }
            return Ok(Next::BackOff); // the event of our own write comes sooner
        }
        let mut pods = self.pods.by_index(BY_NAMESPACE, &key.namespace);
        pods.retain(|pod| service.selects(&pod.metadata.labels));
        let trigger = self.triggers.since_last(&service, &pods).map(|at| at.to_string());
        let write = plan(&service, &pods, held.as_deref(), trigger.as_deref());
        let created = matches!(write, Write::Create(_));
        match self.carry_out(key, write).await {
            Ok(()) => Ok(Next::Done),
            Err(terminating) if created && terminating.is_namespace_terminating() => Ok(Next::Done),
            // The cache does not show yet what is there, or somebody else wrote.
            Err(behind) if behind.is_conflict() || behind.is_already_exists() => Ok(Next::BackOff),
            Err(error) => self.failed(&service, created, error),
        }
    }

    fn failed(&self, service: &Service, created: bool, error: ApiError) -> anyhow::Result<Next> {
        let key = service.metadata.key();
        let about = ObjectRef::new(&ENDPOINTS, &service.metadata);
        if created {
            let message = format!("Failed to create endpoint for service {key}: {}", reason(&error));
            self.context
                .events
                .warning(&about, "FailedToCreateEndpoint", message);
        } else {
            let message = format!("Failed to update endpoint {key}: {}", reason(&error));
            self.context
                .events
                .warning(&about, "FailedToUpdateEndpoint", message);
        }
        let error = anyhow::Error::new(error).context(format!("writing Endpoints {key}"));
        if self.queue.num_requeues(&key) < RETRIES {
            return Err(error);
        }
        tracing::warn!(service = %key, "giving up until something changes: {error:#}");
        Ok(Next::Done)
    }

    async fn delete(&self, key: &ObjectKey, held: bool) -> anyhow::Result<Next> {
        if !held {
            return Ok(Next::Done);
        }
        match self
            .context
            .client
            .delete(&ENDPOINTS, &key.namespace, &key.name, &DeleteOptions::default())
            .await
        {
            Err(error) if !error.is_not_found() => {
                Err(anyhow::Error::new(error).context(format!("deleting Endpoints {key}")))
            }
            _ => Ok(Next::Done),
        }
    }

    async fn carry_out(&self, key: &ObjectKey, write: Write) -> Result<(), ApiError> {
        let client = &self.context.client;
        match write {
            Write::Nothing => {}
            Write::Create(wanted) => {
                client
                    .create::<PartialObject, _>(&ENDPOINTS, &key.namespace, &body(wanted))
                    .await?;
            }
            Write::Update(wanted) => {
                let replaced = wanted.metadata.resource_version.clone();
                let written: PartialObject = client
                    .update(&ENDPOINTS, &key.namespace, &key.name, &body(wanted))
                    .await?;
                if written.metadata.resource_version != replaced {
                    self.replaced.lock().insert(key.clone(), replaced);
                }
            }
        }
        Ok(())
    }
}

fn body(endpoints: Endpoints) -> impl Serialize {
    #[derive(Serialize)]
    struct Rest {
        subsets: Vec<EndpointSubset>,
    }
    Object::new(
        &ENDPOINTS,
        endpoints.metadata,
        Rest {
            subsets: endpoints.subsets,
        },
    )
}
