use super::node::NodeFacts;
use super::route::{Family, Protocol};
use super::slice::{AddressType, EndpointSlice, Hints};
use machinery::meta::Istr;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// An endpoint of one Service port before any policy is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub addr: SocketAddr,
    pub local: bool,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub hints: Option<&'a Hints>,
}

/// The endpoints of a Service port in one family, from all its slices, sorted by address.
///
/// An address that is in two slices (it moves from one to the other, or its pod's address was given to a new pod)
/// counts once, and one that is not terminating wins.
pub fn candidates<'a>(
    slices: &'a [Arc<EndpointSlice>],
    family: Family,
    protocol: Protocol,
    port_name: &Istr,
    node: &NodeFacts,
) -> Vec<Candidate<'a>> {
    let wanted = match family {
        Family::Ipv4 => AddressType::IPv4,
        Family::Ipv6 => AddressType::IPv6,
    };
    let mut found: BTreeMap<SocketAddr, Candidate<'a>> = BTreeMap::new();
    for slice in slices.iter().filter(|s| s.address_type == wanted) {
        let ports = slice
            .ports
            .iter()
            .filter(|p| p.protocol == protocol && p.name.as_ref() == Some(port_name));
        for port in ports.filter_map(|p| p.port).filter(|p| *p != 0) {
            for endpoint in &slice.endpoints {
                if Family::of(endpoint.address) != family {
                    continue;
                }
                let addr = SocketAddr::new(endpoint.address, port);
                let candidate = Candidate {
                    addr,
                    local: !node.name.is_empty() && endpoint.node_name == node.name,
                    ready: endpoint.ready,
                    serving: endpoint.serving,
                    terminating: endpoint.terminating,
                    hints: endpoint.hints.as_deref(),
                };
                if !endpoint.terminating || !found.contains_key(&addr) {
                    found.insert(addr, candidate);
                }
            }
        }
    }
    found.into_values().collect()
}

/// How many addresses of ready endpoints of the Service are on this node: what load balancers are told.
pub fn local_ready(slices: &[Arc<EndpointSlice>], node: &NodeFacts, family: Family) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
    let here = endpoints.filter(|e| e.ready && !node.name.is_empty() && e.node_name == node.name);
    let addresses = here.map(|e| e.address).filter(|ip| Family::of(*ip) == family);
    addresses.collect::<std::collections::BTreeSet<_>>().len()
}
