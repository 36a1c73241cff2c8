use super::route::{Family, Protocol};
use machinery::meta::{Istr, Labels, Object, ObjectMeta, null_default};
use serde::Deserialize;
use std::net::IpAddr;

/// Services with this label belong to another proxy.
pub const SERVICE_PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// EndpointSlices of headless Services carry it: nothing here reads them.
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The fields of a Service that decide where its traffic goes.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    #[serde(deserialize_with = "lean")]
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "null_default")]
    pub spec: Spec,
    #[serde(default, deserialize_with = "null_default")]
    pub status: Status,
}

impl Object for Service {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Drops the metadata that the proxy never reads, which is most of it: annotations can be long.
pub(super) fn lean<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = ObjectMeta::deserialize(deserializer)?;
    meta.owner_references = Vec::new();
    meta.finalizers = Vec::new();
    meta.uid = Istr::default();
    meta.generate_name = Istr::default();
    let service = meta.labels.get(super::slice::SERVICE_NAME_LABEL).map(Istr::new);
    meta.labels = Labels::new();
    if let Some(service) = service {
        meta.labels.insert(super::slice::SERVICE_NAME_LABEL, service);
    }
    let trigger = meta
        .annotations
        .get(super::slice::LAST_CHANGE_TRIGGER_TIME)
        .map(str::to_owned);
    meta.annotations = Default::default();
    if let Some(trigger) = trigger {
        meta.annotations
            .insert(super::slice::LAST_CHANGE_TRIGGER_TIME, trigger);
    }
    Ok(meta)
}

/// An address; `None`, as headless Services have it, and what is no address are none.
fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| super::resolve::parse_ip(&text)))
}

/// The addresses in a list; others are left out.
fn addresses<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Box<[IpAddr]>, D::Error> {
    let texts = Option::<Vec<std::borrow::Cow<'de, str>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts
        .iter()
        .filter_map(|text| super::resolve::parse_ip(text))
        .collect())
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    #[serde(rename = "type", deserialize_with = "null_default")]
    pub kind: ServiceType,
    /// `None` for headless Services and for those that have no address yet.
    #[serde(rename = "clusterIP", deserialize_with = "address")]
    pub cluster_ip: Option<IpAddr>,
    #[serde(rename = "clusterIPs", deserialize_with = "addresses")]
    pub cluster_ips: Box<[IpAddr]>,
    #[serde(deserialize_with = "null_default")]
    pub ports: Box<[Port]>,
    #[serde(rename = "externalIPs", deserialize_with = "addresses")]
    pub external_ips: Box<[IpAddr]>,
    #[serde(deserialize_with = "null_default")]
    pub session_affinity: SessionAffinity,
    #[serde(deserialize_with = "null_default")]
    pub session_affinity_config: SessionAffinityConfig,
    #[serde(deserialize_with = "null_default")]
    pub load_balancer_source_ranges: Box<[Istr]>,
    #[serde(deserialize_with = "null_default")]
    pub external_traffic_policy: TrafficPolicy,
    #[serde(deserialize_with = "null_default")]
    pub internal_traffic_policy: TrafficPolicy,
    #[serde(deserialize_with = "null_default")]
    pub health_check_node_port: u16,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum SessionAffinity {
    #[default]
    None,
    ClientIP,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum TrafficPolicy {
    #[default]
    Cluster,
    Local,
    /// A value of a later version: the default's behaviour.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinityConfig {
    #[serde(rename = "clientIP", deserialize_with = "null_default")]
    pub client_ip: ClientIpConfig,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    pub timeout_seconds: Option<u32>,
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

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    #[serde(deserialize_with = "null_default")]
    pub load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    #[serde(deserialize_with = "null_default")]
    pub ingress: Box<[Ingress]>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    #[serde(deserialize_with = "null_default")]
    pub ip: Istr,
    pub ip_mode: Option<Istr>,
}

impl Service {
    /// No cluster address to proxy: headless, ExternalName, or not allocated yet.
    pub fn is_proxied(&self) -> bool {
        self.spec.cluster_ip.is_some() && self.spec.kind != ServiceType::ExternalName
    }

    /// The ClusterIP of this family.
    pub fn cluster_ip(&self, family: Family) -> Option<IpAddr> {
        let mut all = self.spec.cluster_ips.iter().chain(&self.spec.cluster_ip);
        all.find(|ip| Family::of(**ip) == family).copied()
    }

    /// External traffic may only use endpoints of the node it arrives at.
    pub fn is_external_local(&self) -> bool {
        let external = matches!(self.spec.kind, ServiceType::NodePort | ServiceType::LoadBalancer)
            || !self.spec.external_ips.is_empty();
        external && self.spec.external_traffic_policy == TrafficPolicy::Local
    }

    pub fn is_internal_local(&self) -> bool {
        self.spec.internal_traffic_policy == TrafficPolicy::Local
    }

    /// The port on which this node tells load balancers whether it has endpoints.
    pub fn health_check_port(&self) -> Option<u16> {
        let needs = self.spec.kind == ServiceType::LoadBalancer && self.is_external_local();
        (needs && self.spec.health_check_node_port != 0).then_some(self.spec.health_check_node_port)
    }
}
