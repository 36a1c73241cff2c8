//! The endpoints that a Service should have.

use crate::api::{Endpoint, EndpointConditions, EndpointPort, Hints, Pod, Service};
use machinery::arith::IntOrString;
use machinery::meta::{Istr, ObjectRef};
use std::net::IpAddr;

/// An address family of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The API's word for it: a slice's `addressType`, a Service's `ipFamilies`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    pub const fn has(self, address: &IpAddr) -> bool {
        matches!(
            (self, address),
            (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_))
        )
    }
}

/// The families of a Service. One that is headless and says nothing gets both.
pub fn families(service: &Service) -> Vec<Family> {
    let named = |family: &Istr| {
        [Family::V4, Family::V6]
            .into_iter()
            .find(|known| *family == known.as_str())
    };
    let mut families: Vec<_> = service.spec.ip_families.iter().filter_map(named).collect();
    if families.is_empty() {
        families = match service.spec.cluster_ip.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => vec![Family::V4],
            Ok(IpAddr::V6(_)) => vec![Family::V6],
            Err(_) => vec![Family::V4, Family::V6],
        };
    }
    families.sort_unstable();
    families.dedup();
    families
}

/// Whether the pod can have an endpoint at all.
pub fn has_endpoint(pod: &Pod) -> bool {
    !pod.status.phase.is_terminal() && !pod.status.pod_ips.is_empty()
}

/// The ports of a Service on one pod, in a fixed order; a port whose name the pod does not know is left out.
pub fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports: Vec<_> = service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target_port {
                Some(IntOrString::Int(number)) => *number,
                Some(IntOrString::String(name)) => pod.spec.named_port(name, &port.protocol)?,
                None => port.port,
            };
            Some(EndpointPort {
                name: Some(port.name.clone()),
                protocol: Some(port.protocol.clone()),
                port: Some(number),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_unstable();
    ports
}

/// The endpoint of a pod in one family, if it has an address there.
pub fn endpoint(service: &Service, pod: &Pod, zone: Option<Istr>, family: Family) -> Option<Endpoint> {
    let addresses: Vec<Istr> = pod
        .status
        .pod_ips
        .iter()
        .filter(|ip| family.has(ip))
        .map(|ip| ip.to_string().into())
        .collect();
    if addresses.is_empty() {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.metadata.is_deleting());
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    Some(Endpoint {
        addresses,
        conditions: EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: named.then(|| pod.spec.hostname.clone()),
        target_ref: Some(ObjectRef {
            kind: "Pod".into(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectRef::default()
        }),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        zone,
        ..Endpoint::default()
    })
}

/// Where an endpoint is best used from, by the Service's `trafficDistribution`.
pub fn hints(service: &Service, endpoint: &Endpoint) -> Option<Hints> {
    let (zones, nodes) = match service.spec.traffic_distribution.as_deref() {
        Some("PreferClose" | "PreferSameZone") => (true, false),
        Some("PreferSameNode") => (true, true),
        _ => return None,
    };
    if endpoint.conditions.ready != Some(true) {
        return endpoint.hints.clone();
    }
    let named = |wanted: bool, name: &Option<Istr>| {
        name.iter()
            .filter(|_| wanted)
            .map(|name| crate::api::HintName { name: name.clone() })
            .collect()
    };
    let hints = Hints {
        for_zones: named(zones, &endpoint.zone),
        for_nodes: named(nodes, &endpoint.node_name),
    };
    (hints != Hints::default()).then_some(hints)
}
