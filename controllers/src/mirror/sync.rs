//! Watches and writes.

use super::plan::{MANAGED_BY, MANAGER, Plan, is_mirrored, plan};
use crate::api::{EndpointSlice, Endpoints, Object, Service};
use crate::caches::BY_SERVICE;
use crate::context::Context;
use crate::endpointslice::tracker::Tracker;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions};
use machinery::meta::resources::{ENDPOINT_SLICES, ENDPOINTS};
use machinery::meta::{ObjectKey, ObjectRef, PartialObject};
use machinery::queue::{Next, Queue};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 5;
/// The most addresses of a subset that are mirrored.
const MOST: usize = 1000;
/// How often an object is tried again before it waits for its next event.
const RETRIES: u32 = 15;

struct Controller {
    context: Context,
    endpoints: Cache<Endpoints>,
    services: Cache<Service>,
    slices: Cache<EndpointSlice>,
    queue: Queue<ObjectKey>,
    tracker: Tracker,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        endpoints: context.caches.endpoints().clone(),
        services: context.caches.services().clone(),
        slices: context.caches.endpoint_slices().clone(),
        queue: Queue::new("endpoint_slice_mirroring"),
        tracker: Tracker::default(),
        context,
    });
    tokio::join!(
        controller.endpoints.synced(),
        controller.services.synced(),
        controller.slices.synced()
    );
    controller.subscribe();
    let this = controller.clone();
    until_stopped(&controller.queue, WORKERS, &controller.context.stop, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    })
    .await;
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.metadata.labels.get(MANAGED_BY) == Some(MANAGER)
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.endpoints.subscribe(move |event| {
            let was = matches!(event, Event::Updated { old, .. } if is_mirrored(old));
            if was || is_mirrored(event.object()) {
                this.queue.add(event.object().metadata.key());
            }
        });
        let this = self.clone();
        self.services.subscribe(move |event| {
            let service = event.object();
            let matters = match event {
                Event::Updated { old, new } => old.spec.selector.is_none() != new.spec.selector.is_none(),
                _ => service.spec.selector.is_none(),
            };
            if matters {
                this.queue.add(service.metadata.key());
            }
        });
        let this = self.clone();
        self.slices.subscribe(move |event| {
            let (new, old) = match event {
                Event::Updated { old, new } => (new, Some(old)),
                Event::Added(slice) | Event::Deleted(slice) => (slice, None),
            };
            if !is_ours(new) && !old.is_some_and(|old| is_ours(old)) {
                return;
            }
            let keys = new.service().into_iter().chain(old.and_then(|old| old.service()));
            keys.for_each(|key| this.queue.add(key));
        });
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let mut slices = self.slices.by_index(BY_SERVICE, &key.to_string());
        if self.tracker.is_stale(key, &slices, Instant::now()) {
            return Ok(Next::After(Duration::from_secs(1))); // the slices' own events come sooner
        }
        slices.retain(|slice| is_ours(slice) && !slice.metadata.is_deleting());
        let bare = self
            .services
            .get(key)
            .is_some_and(|service| service.spec.selector.is_none());
        let endpoints = self
            .endpoints
            .get(key)
            .filter(|endpoints| bare && is_mirrored(endpoints));
        let (plan, creates) = match &endpoints {
            Some(endpoints) => {
                let plan = plan(endpoints, &slices, MOST);
                self.tell(endpoints, &plan);
                (plan, !endpoints.metadata.is_deleting())
            }
            None => (
                Plan {
                    delete: slices,
                    ..Plan::default()
                },
                false,
            ),
        };
        match self.carry_out(key, plan, creates).await {
            Ok(()) => Ok(Next::Done),
            Err(error) if error.is_namespace_terminating() => Ok(Next::Done),
            Err(error) if self.queue.num_requeues(key) < RETRIES => {
                Err(anyhow::Error::new(error).context(format!("mirroring Endpoints {key}")))
            }
            Err(error) => {
                tracing::warn!(endpoints = %key, "giving up until something changes: {error:#}");
                Ok(Next::Done)
            }
        }
    }

    fn tell(&self, endpoints: &Endpoints, plan: &Plan) {
        let (events, about) = (
            &self.context.events,
            ObjectRef::new(&ENDPOINTS, &endpoints.metadata),
        );
        if plan.invalid > 0 {
            let message = format_args!(
                "Skipped {} invalid IP addresses when mirroring to EndpointSlices",
                plan.invalid
            );
            events.warning(&about, "InvalidIPAddress", message);
        }
        if plan.skipped > plan.invalid {
            let message = format_args!(
                "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
                plan.skipped
            );
            events.warning(&about, "TooManyAddressesToMirror", message);
        }
    }

    async fn carry_out(&self, key: &ObjectKey, plan: Plan, creates: bool) -> Result<(), ApiError> {
        let client = &self.context.client;
        if creates {
            for slice in plan.create {
                let written: PartialObject = client
                    .create(&ENDPOINT_SLICES, &key.namespace, &body(slice))
                    .await?;
                self.wrote(key, &written);
            }
        }
        for slice in plan.update {
            let name = slice.metadata.name.clone();
            let written: PartialObject = client
                .update(&ENDPOINT_SLICES, &key.namespace, &name, &body(slice))
                .await?;
            self.wrote(key, &written);
        }
        for slice in plan.delete {
            let options = DeleteOptions::default();
            match client
                .delete(&ENDPOINT_SLICES, &key.namespace, &slice.metadata.name, &options)
                .await
            {
                Ok(()) => self
                    .tracker
                    .deleted(key, slice.metadata.uid.clone(), Instant::now()),
                Err(gone) if gone.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wrote(&self, key: &ObjectKey, written: &PartialObject) {
        let meta = &written.metadata;
        self.tracker
            .wrote(key, meta.uid.clone(), meta.generation, Instant::now());
    }
}

/// A slice on its way to the API server.
fn body(slice: EndpointSlice) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Rest {
        address_type: machinery::meta::Istr,
        endpoints: Vec<crate::api::Endpoint>,
        ports: Vec<crate::api::EndpointPort>,
    }
    let EndpointSlice {
        metadata,
        address_type,
        endpoints,
        ports,
    } = slice;
    let rest = Rest {
        address_type,
        endpoints,
        ports,
    };
    Object::new(&ENDPOINT_SLICES, metadata, rest)
}
