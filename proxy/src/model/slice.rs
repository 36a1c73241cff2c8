use super::route::Protocol;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::Deserialize;
use std::net::IpAddr;

/// The label that says which Service a slice belongs to.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// When the change that led to this version of the slice happened.
pub const LAST_CHANGE_TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The fields of an EndpointSlice that decide where traffic goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    #[serde(deserialize_with = "super::service::lean")]
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "null_default")]
    pub address_type: AddressType,
    #[serde(default, deserialize_with = "null_default")]
    pub endpoints: Box<[SliceEndpoint]>,
    #[serde(default, deserialize_with = "null_default")]
    pub ports: Box<[SlicePort]>,
}

impl Object for EndpointSlice {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl EndpointSlice {
    /// The Service that the slice belongs to.
    pub fn service(&self) -> Option<super::ServiceName> {
        let name = self
            .metadata
            .labels
            .get(SERVICE_NAME_LABEL)
            .filter(|n| !n.is_empty())?;
        Some(super::ServiceName::new(self.metadata.namespace.clone(), name))
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
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "Wire")]
pub struct SliceEndpoint {
    pub address: Option<IpAddr>,
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

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    #[serde(deserialize_with = "null_default")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    conditions: WireConditions,
    #[serde(deserialize_with = "null_default")]
    node_name: Istr,
    hints: Option<WireHints>,
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

impl From<Wire> for SliceEndpoint {
    fn from(wire: Wire) -> Self {
        let names = |hints: Vec<WireHint>| hints.into_iter().map(|h| h.name).collect::<Vec<_>>();
        let hints = wire.hints.map(|h| Hints {
            zones: names(h.for_zones),
            nodes: names(h.for_nodes),
        });
        Self {
            address: wire.addresses.first().and_then(|a| super::resolve::parse_ip(a)),
            ready: wire.conditions.ready.unwrap_or(true),
            serving: wire.conditions.serving.unwrap_or(true),
            terminating: wire.conditions.terminating.unwrap_or(false),
            node_name: wire.node_name,
            hints: hints
                .filter(|h| !(h.zones.is_empty() && h.nodes.is_empty()))
                .map(Box::new),
        }
    }
}
