use super::pending::Pending;
use crate::model::{
    EndpointSlice, HEADLESS_LABEL, LAST_CHANGE_TRIGGER_TIME, Node, SERVICE_PROXY_NAME_LABEL, Service,
    ServiceName,
};
use ipnet::IpNet;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::Client;
use machinery::meta::{Istr, Object, ObjectKey, ObjectMeta, null_default, resources};
use serde::Deserialize;
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

const BY_SERVICE: &str = "service";
/// The table is not held up for ranges that only sharpen what happens to stray traffic.
const CIDRS_WITHIN: Duration = Duration::from_secs(1);
/// Nor for a node that is not registered yet.
const NODE_WITHIN: Duration = Duration::from_secs(2);

/// The caches that the proxy reads.
#[derive(Clone)]
pub struct Watches {
    services: Cache<Service>,
    slices: Cache<EndpointSlice>,
    nodes: Cache<Node>,
    cidrs: Cache<ServiceCidr>,
    node: ObjectKey,
}

impl Watches {
    /// Starts the watches of what upstream watches too.
    pub fn start(client: &Client, node: &str, stop: &CancellationToken) -> Self {
        Self {
            services: Cache::builder(client, &resources::SERVICES)
                .labels(format!("!{SERVICE_PROXY_NAME_LABEL}"))
                .fields("spec.clusterIP!=None")
                .start(stop),
            slices: Cache::builder(client, &resources::ENDPOINT_SLICES)
                .labels(format!("!{HEADLESS_LABEL}"))
                .index(BY_SERVICE, |slice: &EndpointSlice| {
                    slice.service().map(|s| index_key(&s)).into_iter().collect()
                })
                .start(stop),
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
            .subscribe(move |event| to.service(event.object().metadata.key()));
        let to = pending.clone();
        self.slices.subscribe(move |event| {
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
                let trigger = new.and_then(|s| trigger(s));
                to.endpoints(
                    after,
                    trigger.filter(|t| old.and_then(|s| self::trigger(s)).as_ref() != Some(t)),
                );
            }
        });
        let to = pending.clone();
        self.nodes.subscribe(move |_| to.surroundings());
        let to = pending.clone();
        self.cidrs.subscribe(move |_| to.surroundings());
    }

    pub fn service(&self, name: &ServiceName) -> Option<Arc<Service>> {
        self.services.get(name)
    }

    pub fn services(&self) -> Vec<Arc<Service>> {
        self.services.list()
    }

    /// The slices of one Service.
    pub fn slices(&self, service: &ServiceName) -> Vec<Arc<EndpointSlice>> {
        self.slices.by_index(BY_SERVICE, &index_key(service))
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

fn index_key(service: &ServiceName) -> Istr {
    Istr::new(&format!("{}/{}", service.namespace, service.name))
}

fn trigger(slice: &EndpointSlice) -> Option<Timestamp> {
    slice
        .metadata
        .annotations
        .get(LAST_CHANGE_TRIGGER_TIME)?
        .parse()
        .ok()
}
