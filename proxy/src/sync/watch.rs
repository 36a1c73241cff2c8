use super::pending::Pending;
use crate::model::{EndpointSlice, HEADLESS_LABEL, Node, SERVICE_PROXY_NAME_LABEL, Service, ServiceName};
use ipnet::IpNet;
use machinery::cache::{Cache, Event};
use machinery::client::Client;
use machinery::meta::{Cached as _, Istr, Object, ObjectKey, ObjectMeta, null_default, resources};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A range that ClusterIPs are taken from.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceCidr {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "null_default")]
    pub spec: ServiceCidrSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrSpec {
    #[serde(deserialize_with = "null_default")]
    pub cidrs: Vec<Istr>,
}

impl Object for ServiceCidr {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Slices by their Service. An index of our own, since that of a cache is by text: a second name for each Service.
type ByService = Arc<Mutex<FxHashMap<ServiceName, SmallVec<[Arc<EndpointSlice>; 1]>>>>;

/// The table is not held up for ranges that only sharpen what happens to stray traffic.
const CIDRS_WITHIN: Duration = Duration::from_secs(1);
/// Nor for a node that is not registered yet.
const NODE_WITHIN: Duration = Duration::from_secs(2);

/// The caches that the proxy reads.
#[derive(Clone)]
pub struct Watches {
    services: Cache<Service>,
    slices: Cache<EndpointSlice>,
    by_service: ByService,
    nodes: Cache<Node>,
    cidrs: Cache<ServiceCidr>,
    node: ObjectKey,
}

impl Watches {
    /// Starts the watches of what upstream watches too.
    pub fn start(client: &Client, node: &str, stop: &CancellationToken) -> Self {
        let slices = Cache::builder(client, &resources::ENDPOINT_SLICES)
            .labels(format!("!{HEADLESS_LABEL}"))
            .start(stop);
        let by_service = ByService::default();
        let index = by_service.clone();
        slices.subscribe(move |event| file(&mut index.lock(), event));
        Self {
            services: Cache::builder(client, &resources::SERVICES)
                .labels(format!("!{SERVICE_PROXY_NAME_LABEL}"))
                .fields("spec.clusterIP!=None")
                .start(stop),
            slices,
            by_service,
            nodes: Cache::builder(client, &resources::NODES)
                .fields(format!("metadata.name={node}"))
                .start(stop),
            cidrs: Cache::builder(client, &resources::SERVICE_CIDRS).start(stop),
            node: ObjectKey::cluster(node),
        }
    }

    /// Waits until the first lists are there. Services and slices are needed; the rest may come later.
    pub async fn synced(&self) {
        tokio::join!(
            self.services.synced(),
            self.slices.synced(),
            async { tokio::time::timeout(NODE_WITHIN, self.nodes.synced()).await.ok() },
            async { tokio::time::timeout(CIDRS_WITHIN, self.cidrs.synced()).await.ok() },
        );
    }

    /// Tells `pending` of every change from now on.
    pub fn subscribe(&self, pending: &Pending) {
        let to = pending.clone();
        self.services
            .subscribe_to_changes(move |event| to.service(event.object().key()));
        let to = pending.clone();
        self.slices.subscribe_to_changes(move |event| {
            let (old, new) = match event {
                Event::Added(new) => (None, Some(new)),
                Event::Updated { old, new } => (Some(old), Some(new)),
                Event::Deleted(last) => (Some(last), None),
            };
            let service = |slice: Option<&Arc<EndpointSlice>>| slice.and_then(|s| s.service());
            let (before, after) = (service(old), service(new));
            if let Some(before) = before.filter(|before| after.as_ref() != Some(before)) {
                to.endpoints(before, None);
            }
            if let Some(after) = after {
                let trigger = |slice: &Arc<EndpointSlice>| slice.trigger;
                to.endpoints(
                    after,
                    new.and_then(trigger)
                        .filter(|t| old.and_then(trigger) != Some(*t)),
                );
            }
        });
        let to = pending.clone();
        self.nodes.subscribe_to_changes(move |_| to.surroundings());
        let to = pending.clone();
        self.cidrs.subscribe_to_changes(move |_| to.surroundings());
    }

    pub fn service(&self, name: &ServiceName) -> Option<Arc<Service>> {
        self.services.get(name)
    }

    pub fn services(&self) -> Vec<Arc<Service>> {
        self.services.list()
    }

    /// The slices of one Service.
    pub fn slices(&self, service: &ServiceName) -> SmallVec<[Arc<EndpointSlice>; 1]> {
        self.by_service.lock().get(service).cloned().unwrap_or_default()
    }

    pub fn node(&self) -> Option<Arc<Node>> {
        self.nodes.get(&self.node)
    }

    /// The ranges that ClusterIPs are taken from.
    pub fn service_cidrs(&self) -> Vec<IpNet> {
        let all = self.cidrs.list();
        all.iter()
            .flat_map(|cidr| cidr.spec.cidrs.iter())
            .filter_map(|text| crate::model::parse_net(text))
            .collect()
    }
}

/// Files what an event leaves of a slice under its Service.
fn file(index: &mut FxHashMap<ServiceName, SmallVec<[Arc<EndpointSlice>; 1]>>, event: &Event<EndpointSlice>) {
    let (old, new) = match event {
        Event::Added(new) => (None, Some(new)),
        Event::Updated { old, new } => (Some(old), Some(new)),
        Event::Deleted(last) => (Some(last), None),
    };
    if let Some((service, old)) = old.and_then(|old| Some((old.service()?, old.key())))
        && let Some(slices) = index.get_mut(&service)
    {
        slices.retain(|slice| slice.key() != old);
        if slices.is_empty() {
            index.remove(&service);
        }
    }
    if let Some((service, new)) = new.and_then(|new| Some((new.service()?, new))) {
        index.entry(service).or_default().push(new.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, service: &str, version: u32) -> Arc<EndpointSlice> {
        let slice = serde_json::json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": version.to_string(),
            "labels": {"kubernetes.io/service-name": service}}});
        Arc::new(serde_json::from_value(slice).unwrap())
    }

    #[test]
    fn slices_are_found_by_the_service_that_they_last_belonged_to() {
        let mut index = FxHashMap::default();
        let held = |index: &FxHashMap<ServiceName, SmallVec<[Arc<EndpointSlice>; 1]>>, service: &str| {
            let all = index.get(&ServiceName::new("ns", service)).into_iter().flatten();
            let mut all: Vec<String> = all
                .map(|s| format!("{}@{}", s.key().name, s.resource_version()))
                .collect();
            all.sort();
            all.join(" ")
        };
        let updated = |old, new| Event::Updated { old, new };
        file(&mut index, &Event::Added(slice("a", "web", 1)));
        file(&mut index, &Event::Added(slice("b", "web", 2)));
        file(&mut index, &Event::Added(slice("c", "", 3)));
        assert_eq!(held(&index, "web"), "a@1 b@2");
        file(&mut index, &updated(slice("a", "web", 1), slice("a", "web", 4)));
        assert_eq!(held(&index, "web"), "a@4 b@2");
        file(&mut index, &updated(slice("b", "web", 2), slice("b", "api", 5)));
        assert_eq!(
            (held(&index, "web"), held(&index, "api")),
            ("a@4".into(), "b@5".into())
        );
        file(&mut index, &Event::Deleted(slice("a", "web", 6)));
        file(&mut index, &Event::Deleted(slice("b", "api", 5)));
        assert!(index.is_empty());
    }
}
