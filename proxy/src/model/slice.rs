use super::route::{Protocol, ServiceName};
use super::wire::{Meta, Version, first_address};
use jiff::Timestamp;
use machinery::meta::{Cached, Istr, ObjectKey, null_default};
use serde::Deserialize;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;

/// What decides where traffic goes, in as few bytes as may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct EndpointSlice {
    name: ObjectKey,
    version: Version,
    /// From the label `kubernetes.io/service-name`.
    service: Istr,
    /// When the change that led to this version happened, as its controller tells.
    pub trigger: Option<Timestamp>,
    pub address_type: AddressType,
    pub endpoints: Box<[SliceEndpoint]>,
    pub ports: SmallVec<[SlicePort; 1]>,
}

impl Cached for EndpointSlice {
    fn key(&self) -> ObjectKey {
        self.name.clone()
    }

    fn resource_version(&self) -> Cow<'_, str> {
        self.version.text()
    }
}

impl EndpointSlice {
    /// The Service that the slice belongs to.
    pub fn service(&self) -> Option<ServiceName> {
        let name = self.service.clone();
        let namespace = self.name.namespace.clone();
        (!name.is_empty()).then_some(ServiceName { namespace, name })
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum AddressType {
    #[default]
    IPv4,
    IPv6,
    /// `FQDN`, which nothing here routes to.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct SlicePort {
    pub name: Option<Istr>,
    #[serde(deserialize_with = "null_default")]
    pub protocol: Protocol,
    pub port: Option<u16>,
}

/// One endpoint: the first of its addresses (the others mean the same) and its conditions, defaulted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    pub address: IpAddr,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub node_name: Istr,
    pub hints: Option<Box<Hints>>,
}

/// For which zones and nodes the endpoint is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    pub zones: Vec<Istr>,
    pub nodes: Vec<Istr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    metadata: Meta<WireLabels, WireAnnotations>,
    #[serde(default, deserialize_with = "null_default")]
    address_type: AddressType,
    #[serde(default, deserialize_with = "null_default")]
    endpoints: Vec<WireEndpoint>,
    #[serde(default, deserialize_with = "null_default")]
    ports: Vec<SlicePort>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireLabels {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: Istr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireAnnotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    last_change_trigger_time: Option<String>,
}

impl From<Wire> for EndpointSlice {
    fn from(wire: Wire) -> Self {
        let trigger = wire.metadata.annotations.last_change_trigger_time.as_deref();
        let mut ports = SmallVec::with_capacity(wire.ports.len());
        ports.extend(wire.ports);
        Self {
            name: wire.metadata.key(),
            version: wire.metadata.resource_version,
            service: wire.metadata.labels.service_name,
            trigger: trigger.and_then(|at| at.parse().ok()),
            address_type: wire.address_type,
            endpoints: wire
                .endpoints
                .into_iter()
                .filter_map(WireEndpoint::slim)
                .collect(),
            ports,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireEndpoint {
    #[serde(deserialize_with = "first_address")]
    addresses: Option<IpAddr>,
    #[serde(deserialize_with = "null_default")]
    conditions: WireConditions,
    #[serde(deserialize_with = "null_default")]
    node_name: Istr,
    hints: Option<WireHints>,
}

impl WireEndpoint {
    /// Without an address there is nothing to route to.
    fn slim(self) -> Option<SliceEndpoint> {
        let names = |hints: Vec<WireHint>| hints.into_iter().map(|h| h.name).collect::<Vec<_>>();
        let hints = self.hints.map(|h| Hints {
            zones: names(h.for_zones),
            nodes: names(h.for_nodes),
        });
        Some(SliceEndpoint {
            address: self.addresses?,
            ready: self.conditions.ready.unwrap_or(true),
            serving: self.conditions.serving.unwrap_or(true),
            terminating: self.conditions.terminating.unwrap_or(false),
            node_name: self.node_name,
            hints: hints
                .filter(|h| !(h.zones.is_empty() && h.nodes.is_empty()))
                .map(Box::new),
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireHints {
    #[serde(deserialize_with = "null_default")]
    for_zones: Vec<WireHint>,
    #[serde(deserialize_with = "null_default")]
    for_nodes: Vec<WireHint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireHint {
    name: Istr,
}
