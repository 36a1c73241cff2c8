use super::endpoints::{Candidate, candidates};
use super::node::NodeFacts;
use super::policy::choose;
use super::route::{Endpoint, External, Family, PortRoute, Protocol};
use super::service::{Port, Service};
use super::slice::EndpointSlice;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The routes of all ports of a Service in one family; empty when the Service has no address in it.
pub fn resolve(
    service: &Service,
    slices: &[Arc<EndpointSlice>],
    node: &NodeFacts,
    family: Family,
) -> Vec<PortRoute> {
    let Some(cluster_ip) = service.cluster_ip(family) else {
        return Vec::new();
    };
    let shared = Shared::of(service, family);
    let mut routes: Vec<PortRoute> = Vec::with_capacity(service.ports.len());
    for port in &service.ports {
        // The name and protocol identify a port; the API server lets no two have the same.
        if port.port == 0
            || routes
                .iter()
                .any(|r| r.name == port.name && r.protocol == port.protocol)
        {
            continue;
        }
        routes.push(shared.route(service, port, cluster_ip, slices, node, family));
    }
    routes
}

/// What all ports of the Service have in common.
#[derive(Default)]
struct Shared {
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    source_ranges: Vec<IpNet>,
}

impl Shared {
    fn of(service: &Service, family: Family) -> Self {
        let Some(more) = service.more() else {
            return Self::default();
        };
        let of_family = |ips: &[IpAddr]| {
            let of_family = ips.iter().copied().filter(|ip| Family::of(*ip) == family);
            let mut ips: Vec<IpAddr> = of_family.collect();
            ips.sort_unstable();
            ips.dedup();
            ips
        };
        let external_ips = of_family(&more.external_ips);
        let load_balancer_ips = of_family(&more.load_balancer_ips);
        let ranges = more.source_ranges.iter().copied();
        let mut source_ranges: Vec<IpNet> = ranges.filter(|net| Family::of_net(net) == family).collect();
        // "From anywhere" is the same as no restriction.
        if source_ranges.iter().any(|net| net.prefix_len() == 0) {
            source_ranges.clear();
        }
        Self {
            external_ips,
            load_balancer_ips,
            source_ranges,
        }
    }

    fn route(
        &self,
        service: &Service,
        port: &Port,
        cluster_ip: IpAddr,
        slices: &[Arc<EndpointSlice>],
        node: &NodeFacts,
        family: Family,
    ) -> PortRoute {
        let node_port = (port.node_port != 0).then_some(port.node_port);
        let is_external =
            node_port.is_some() || !self.external_ips.is_empty() || !self.load_balancer_ips.is_empty();
        let external = is_external.then(|| {
            Box::new(External {
                external_ips: self.external_ips.clone(),
                load_balancer_ips: self.load_balancer_ips.clone(),
                node_port,
                source_ranges: self.source_ranges.clone(),
                local: service.is_external_local(),
            })
        });
        let internal_local = service.is_internal_local();
        // External traffic under the policy Local needs the policy Cluster too: pods and the node itself use it.
        let uses_cluster = !internal_local || is_external;
        let uses_local = internal_local || external.as_ref().is_some_and(|e| e.local);
        let all = candidates(slices, family, port.protocol, &port.name, node);
        let chosen = choose(&all, uses_cluster, uses_local, node);
        let endpoints = |chosen: &[Candidate<'_>]| -> Box<[Endpoint]> {
            chosen
                .iter()
                .map(|c| Endpoint {
                    ip: c.addr.ip(),
                    port: c.addr.port(),
                    local: c.local,
                })
                .collect()
        };
        PortRoute {
            name: port.name.clone(),
            protocol: port.protocol,
            port: port.port,
            cluster_ip,
            external,
            affinity_seconds: service.more().and_then(|more| more.affinity_seconds),
            internal_local,
            cluster: endpoints(&chosen.cluster),
            local: endpoints(&chosen.local),
            has_endpoints: chosen.any,
            serving: if port.protocol == Protocol::Udp {
                all.iter().filter(|c| c.serving).map(|c| c.addr).collect()
            } else {
                Box::default()
            },
        }
    }
}

/// Parses an address as the API's older fields allow it: IPv4 octets may have leading zeros, which do not mean octal.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(match ip {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
            v4 => v4,
        });
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts
            .next()
            .filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts
        .next()
        .is_none()
        .then_some(IpAddr::V4(Ipv4Addr::from(octets)))
}

/// Parses a range, with host bits and surrounding blanks tolerated as the API tolerates them.
pub fn parse_net(text: &str) -> Option<IpNet> {
    let (ip, len) = text.trim().split_once('/')?;
    IpNet::new(parse_ip(ip)?, len.parse().ok()?)
        .ok()
        .map(|net| net.trunc())
}
