//! Names of chains and sets, and the classes that a destination's number of endpoints falls into.

use super::expr::{Expr, Reg};
use super::ip::Ip;
use super::object::Rule;
use crate::model::Family;
use std::sync::Arc;

/// What traffic to a Service is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Front {
    /// ClusterIP, external IP or load balancer IP, with protocol and port.
    Service,
    /// Protocol and node port.
    NodePort,
}

impl Front {
    pub const ALL: [Self; 2] = [Self::Service, Self::NodePort];
}

/// Names of the sets and chains of one kind of front.
#[derive(Clone, Debug)]
pub struct FrontNames {
    /// Set: destinations of internal traffic.
    pub routes: Arc<str>,
    /// Set and chain: destinations of external traffic under the policy `Cluster`.
    pub external: Arc<str>,
    /// Set and chain: destinations of external traffic under the policy `Local`.
    pub external_local: Arc<str>,
    /// Map: destination and number of an endpoint to its address and port.
    pub endpoints: Arc<str>,
    /// Chain, and prefix of the sets of destinations by class.
    pub spread: Arc<str>,
    /// The same for endpoints of this node.
    pub local_spread: Arc<str>,
}

impl FrontNames {
    fn new(prefix: &str) -> Self {
        let name = |rest: &str| Arc::from(format!("{prefix}-{rest}"));
        Self {
            routes: name("routes"),
            external: name("external"),
            external_local: name("external-local"),
            endpoints: name("endpoints"),
            spread: name("spread"),
            local_spread: name("local-spread"),
        }
    }

    /// The chain that spreads connections over endpoints.
    pub fn spread(&self, scope: Scope) -> &Arc<str> {
        match scope {
            Scope::Cluster => &self.spread,
            Scope::Local => &self.local_spread,
        }
    }
}

/// Every name that is not a Service's own, allocated once.
#[derive(Clone, Debug)]
pub struct Names {
    pub cluster_ips: Arc<str>,
    pub hairpin_connections: Arc<str>,
    pub no_endpoint_services: Arc<str>,
    pub no_endpoint_node_ports: Arc<str>,
    pub firewall_ips: Arc<str>,
    pub service_ips: Arc<str>,
    pub service_node_ports: Arc<str>,
    pub node_port_ips: Arc<str>,
    pub reject: Arc<str>,
    service: FrontNames,
    node_port: FrontNames,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            cluster_ips: "cluster-ips".into(),
            hairpin_connections: "hairpin-connections".into(),
            no_endpoint_services: "no-endpoint-services".into(),
            no_endpoint_node_ports: "no-endpoint-nodeports".into(),
            firewall_ips: "firewall-ips".into(),
            service_ips: "service-ips".into(),
            service_node_ports: "service-nodeports".into(),
            node_port_ips: "nodeport-ips".into(),
            reject: "reject-chain".into(),
            service: FrontNames::new("service"),
            node_port: FrontNames::new("nodeport"),
        }
    }
}

impl Names {
    pub fn front(&self, front: Front) -> &FrontNames {
        match front {
            Front::Service => &self.service,
            Front::NodePort => &self.node_port,
        }
    }
}

/// Which endpoints a class is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Cluster,
    /// Endpoints of this node, numbered from [`LOCAL_SLOTS`].
    Local,
}

/// The first number of a destination's node-local endpoints.
pub const LOCAL_SLOTS: u32 = 1 << 20;

impl Scope {
    pub fn first_slot(self) -> u32 {
        match self {
            Self::Cluster => 0,
            Self::Local => LOCAL_SLOTS,
        }
    }
}

/// Destinations with about the same number of endpoints, which the same rules serve.
///
/// A destination is in the set of its class, so a change of its endpoints moves it to another set and changes no rule
/// and no verdict: after a change of either, the kernel validates the whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class {
    pub front: Front,
    pub scope: Scope,
    /// Numbers that the rules choose from. At most 16 are exact; of more, up to a sixth may be unused.
    pub slots: u32,
}

/// Counts up to this have a class of their own, so that each endpoint is equally likely at the first try.
const EXACT: u32 = 16;
/// How often a connection tries again when it chose an unused number. Less than one in 10,000 is left over then.
const TRIES: usize = 6;

impl Class {
    /// The class of destinations with `count` endpoints.
    pub fn of(front: Front, scope: Scope, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(LOCAL_SLOTS).clamp(1, LOCAL_SLOTS);
        let slots = if count <= EXACT {
            count
        } else {
            // Four classes between one power of two and the next.
            let step = (1 << (count - 1).ilog2()) / 4;
            count.next_multiple_of(step)
        };
        Self { front, scope, slots }
    }

    /// The name of the set of its destinations.
    pub fn set(self, names: &Names) -> Arc<str> {
        format!("{}-{}", names.front(self.front).spread(self.scope), self.slots).into()
    }

    /// The rules that serve its destinations.
    pub(super) fn rules(self, ip: &Ip, names: &Names, set: &Arc<str>) -> impl Iterator<Item = Rule> {
        let tries = if self.slots <= EXACT { 1 } else { TRIES };
        let rule = Rule::new(self.rule(ip, names, Some(set)));
        std::iter::repeat_n(rule, tries)
    }

    /// Sends a connection to one of the endpoints; with a set, only if the destination is in it.
    fn rule(self, ip: &Ip, names: &Names, set: Option<&Arc<str>>) -> Vec<Expr> {
        let (mut exprs, number) = ip.load_front(self.front);
        exprs.extend(set.map(|set| Expr::Lookup {
            set: set.clone(),
            from: Reg(0),
            to: None,
        }));
        exprs.push(Expr::Random {
            modulus: self.slots,
            offset: self.scope.first_slot(),
            to: number,
        });
        let endpoints = names.front(self.front).endpoints.clone();
        exprs.push(Expr::Lookup {
            set: endpoints,
            from: Reg(0),
            to: Some(Reg(0)),
        });
        exprs.push(dnat(ip.family));
        exprs
    }
}

/// The last rule of a chain that spreads connections: the first endpoint, which is there in any case. Sets are read
/// one after the other, so the end of a transaction in between can hide a destination from all classes.
pub(super) fn last_resort(ip: &Ip, names: &Names, front: Front, scope: Scope) -> Rule {
    Rule::new(
        Class {
            front,
            scope,
            slots: 1,
        }
        .rule(ip, names, None),
    )
}

/// Sends the connection to the address and port that start at register 0.
pub(super) fn dnat(family: Family) -> Expr {
    let ip = Ip::of(family);
    Expr::Dnat {
        family: family.nfproto() as u8,
        addr: Reg(0),
        port: Reg(ip.regs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_few_and_fit() {
        let slots = |n| Class::of(Front::Service, Scope::Cluster, n).slots;
        let expected = [
            (1, 1),
            (2, 2),
            (16, 16),
            (17, 20),
            (20, 20),
            (32, 32),
            (33, 40),
            (1000, 1024),
            (1025, 1280),
        ];
        for (count, wanted) in expected {
            assert_eq!(slots(count), wanted, "{count}");
        }
        for count in 17..5000 {
            let unused = slots(count) - count as u32;
            assert!(f64::from(unused) / f64::from(slots(count)) < 0.2, "{count}");
        }
    }
}
