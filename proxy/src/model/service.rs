use super::route::{Family, Protocol, ServiceName};
use super::wire::{Meta, Unread, Version, address, addresses};
use ipnet::IpNet;
use machinery::meta::{Cached, Istr, ObjectKey, null_default};
use serde::Deserialize;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Services with this label belong to another proxy.
pub const SERVICE_PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// EndpointSlices of headless Services carry it: nothing here reads them.
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// The API's default for `sessionAffinityConfig.clientIP.timeoutSeconds`.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

/// What decides where a Service's traffic goes, in as few bytes as may be: there are thousands, and most are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Service {
    pub name: ServiceName,
    version: Version,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Box<Ipv6Addr>>,
    pub ports: SmallVec<[Port; 1]>,
    internal_local: bool,
    /// What few Services have.
    more: Option<Box<More>>,
}

/// Ways in from outside, and session affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    pub external_ips: Box<[IpAddr]>,
    /// Ingress addresses of the load balancer that are to be handled here (`ipMode: VIP`).
    pub load_balancer_ips: Box<[IpAddr]>,
    pub source_ranges: Box<[IpNet]>,
    /// `sessionAffinity: ClientIP`: how many seconds a client stays with its endpoint.
    pub affinity_seconds: Option<u32>,
    external_local: bool,
    health_check_port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    #[serde(deserialize_with = "null_default")]
    pub name: Istr,
    #[serde(deserialize_with = "null_default")]
    pub protocol: Protocol,
    pub port: u16,
    #[serde(deserialize_with = "null_default")]
    pub node_port: u16,
}

impl Cached for Service {
    fn key(&self) -> ObjectKey {
        self.name.clone()
    }

    fn resource_version(&self) -> Cow<'_, str> {
        self.version.text()
    }
}

impl Service {
    /// The ClusterIP of this family; none of a Service that is not proxied: headless, ExternalName, or not allocated yet.
    pub fn cluster_ip(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4.map(IpAddr::V4),
            Family::Ipv6 => self.ipv6.as_deref().copied().map(IpAddr::V6),
        }
    }

    pub fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    /// External traffic may only use endpoints of the node it arrives at.
    pub fn is_external_local(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.external_local)
    }

    pub fn is_internal_local(&self) -> bool {
        self.internal_local
    }

    /// The port on which this node tells load balancers whether it has endpoints.
    pub fn health_check_port(&self) -> Option<u16> {
        self.more.as_ref()?.health_check_port
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: Meta<Unread, Unread>,
    #[serde(default, deserialize_with = "null_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "null_default")]
    status: Status,
}

impl From<Wire> for Service {
    fn from(wire: Wire) -> Self {
        let Wire {
            metadata,
            spec,
            status,
        } = wire;
        let proxied = spec.cluster_ip.is_some() && spec.kind != ServiceType::ExternalName;
        let cluster_ips = || {
            spec.cluster_ips
                .iter()
                .chain(&spec.cluster_ip)
                .filter(|_| proxied)
        };
        let more = spec.more(&status);
        Self {
            name: metadata.key(),
            version: metadata.resource_version,
            ipv4: cluster_ips().find_map(|ip| match ip {
                IpAddr::V4(ip) => Some(*ip),
                IpAddr::V6(_) => None,
            }),
            ipv6: cluster_ips().find_map(|ip| match ip {
                IpAddr::V4(_) => None,
                IpAddr::V6(ip) => Some(Box::new(*ip)),
            }),
            internal_local: spec.internal_traffic_policy == TrafficPolicy::Local,
            more: (more != More::default()).then(|| Box::new(more)),
            ports: spec.ports,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "type", deserialize_with = "null_default")]
    kind: ServiceType,
    /// `None` for headless Services and for those that have no address yet.
    #[serde(rename = "clusterIP", deserialize_with = "address")]
    cluster_ip: Option<IpAddr>,
    #[serde(rename = "clusterIPs", deserialize_with = "addresses")]
    cluster_ips: Vec<IpAddr>,
    #[serde(deserialize_with = "few")]
    ports: SmallVec<[Port; 1]>,
    #[serde(rename = "externalIPs", deserialize_with = "addresses")]
    external_ips: Vec<IpAddr>,
    #[serde(deserialize_with = "null_default")]
    session_affinity: SessionAffinity,
    #[serde(deserialize_with = "null_default")]
    session_affinity_config: SessionAffinityConfig,
    #[serde(deserialize_with = "null_default")]
    load_balancer_source_ranges: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    external_traffic_policy: TrafficPolicy,
    #[serde(deserialize_with = "null_default")]
    internal_traffic_policy: TrafficPolicy,
    #[serde(deserialize_with = "null_default")]
    health_check_node_port: u16,
}

impl Spec {
    fn more(&self, status: &Status) -> More {
        let has_node_ports = matches!(self.kind, ServiceType::NodePort | ServiceType::LoadBalancer);
        let external_local = (has_node_ports || !self.external_ips.is_empty())
            && self.external_traffic_policy == TrafficPolicy::Local;
        let ingress = status.load_balancer.ingress.iter();
        let affine = self.session_affinity == SessionAffinity::ClientIP;
        let timeout = self.session_affinity_config.client_ip.timeout_seconds;
        let health_check = external_local && self.kind == ServiceType::LoadBalancer;
        More {
            external_ips: self.external_ips.as_slice().into(),
            load_balancer_ips: ingress
                .filter(|i| i.ip_mode.as_ref().is_none_or(|mode| mode == "VIP"))
                .filter_map(|i| i.ip)
                .collect(),
            source_ranges: self
                .load_balancer_source_ranges
                .iter()
                .filter_map(|range| super::resolve::parse_net(range))
                .collect(),
            affinity_seconds: affine.then(|| timeout.unwrap_or(DEFAULT_AFFINITY_SECONDS)),
            external_local,
            health_check_port: Some(self.health_check_node_port).filter(|port| health_check && *port != 0),
        }
    }
}

/// A list, most of which have one member.
fn few<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SmallVec<[Port; 1]>, D::Error> {
    let all = Option::<Vec<Port>>::deserialize(deserializer)?.unwrap_or_default();
    let mut few = SmallVec::with_capacity(all.len());
    few.extend(all);
    Ok(few)
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
enum SessionAffinity {
    #[default]
    None,
    ClientIP,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
enum TrafficPolicy {
    #[default]
    Cluster,
    Local,
    /// A value of a later version: the default's behaviour.
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SessionAffinityConfig {
    #[serde(rename = "clientIP", deserialize_with = "null_default")]
    client_ip: ClientIpConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientIpConfig {
    timeout_seconds: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(deserialize_with = "null_default")]
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LoadBalancer {
    #[serde(deserialize_with = "null_default")]
    ingress: Vec<Ingress>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ingress {
    #[serde(deserialize_with = "address")]
    ip: Option<IpAddr>,
    ip_mode: Option<String>,
}
