//! Names of chains and sets, and the classes that a route can have.

use super::expr::{Expr, Reg};
use super::layout::{Ip, Settings, mark_for_masquerade};
use super::object::{Chain, Rule};
use super::verdict::Verdict;
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

/// Names of the maps and chains of one kind of front.
#[derive(Clone, Debug)]
pub struct FrontNames {
    pub routes: Arc<str>,
    pub cluster_routes: Arc<str>,
    pub local_routes: Arc<str>,
    pub endpoints: Arc<str>,
    pub picks: Arc<str>,
    pub external_cluster: Arc<str>,
    pub external_local: Arc<str>,
    prefix: &'static str,
}

impl FrontNames {
    fn new(prefix: &'static str) -> Self {
        let name = |rest: &str| Arc::from(format!("{prefix}-{rest}"));
        Self {
            routes: name("routes"),
            cluster_routes: name("routes-cluster"),
            local_routes: name("routes-local"),
            endpoints: name("endpoints"),
            picks: name("picks"),
            external_cluster: name("external-cluster"),
            external_local: name("external-local"),
            prefix,
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

/// How traffic to a front is spread: the value of a route, and the key of the chain that does it.
///
/// The count is in the low 24 bits, so that a change of endpoints changes data and never a rule or a verdict: the
/// kernel validates the whole table after a change of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Pick among `n` endpoints.
    Spread(u32),
    /// The same, and masquerade: `externalTrafficPolicy: Cluster`.
    Masquerade(u32),
    /// Pick among `n` endpoints of this node, which are numbered from [`LOCAL_SLOTS`].
    Local(u32),
    /// `externalTrafficPolicy: Local`: where to go depends on where the traffic comes from.
    ExternalLocal,
}

/// The first number of a front's node-local endpoints.
pub const LOCAL_SLOTS: u32 = 1 << 24;

impl Class {
    /// The value as the kernel compares it.
    pub fn mark(self) -> u32 {
        match self {
            Self::Spread(n) => n,
            Self::Masquerade(n) => 1 << 24 | n,
            Self::Local(n) => 2 << 24 | n,
            Self::ExternalLocal => 4 << 24,
        }
    }

    /// The chain that traffic of this class goes to.
    pub fn chain_name(self, names: &FrontNames) -> Arc<str> {
        let prefix = names.prefix;
        match self {
            Self::Spread(n) => format!("{prefix}-pick-{n}").into(),
            Self::Masquerade(n) => format!("{prefix}-masquerade-pick-{n}").into(),
            Self::Local(n) => format!("{prefix}-local-pick-{n}").into(),
            Self::ExternalLocal => names.external_local.clone(),
        }
    }

    /// The chain itself; `None` for the static one.
    pub fn chain(self, settings: &Settings, names: &FrontNames, front: Front) -> Option<Chain> {
        let ip = Ip::of(settings.family);
        let pick = |modulus, offset| Rule::new(pick(&ip, names, front, modulus, offset));
        let picks = |n: u32, offset| {
            let mut rules = vec![pick(n, offset)];
            if n > 1 {
                // The count and the endpoint are read one after the other. Should a transaction that removed the
                // endpoint end in between, the first one is there in any case.
                rules.push(pick(1, offset));
            }
            rules
        };
        let rules = match self {
            Self::Spread(n) => picks(n, 0),
            Self::Local(n) => picks(n, LOCAL_SLOTS),
            Self::Masquerade(n) => {
                let mut rules = vec![Rule::new(mark_for_masquerade(settings.masquerade_mark))];
                rules.extend(picks(n, 0));
                rules
            }
            Self::ExternalLocal => return None,
        };
        Some(Chain::new(self.chain_name(names), rules))
    }
}

fn pick(ip: &Ip, names: &FrontNames, front: Front, modulus: u32, offset: u32) -> Vec<Expr> {
    let (mut exprs, slot) = ip.load_front(front);
    exprs.push(Expr::Random { modulus, offset, to: slot });
    exprs.push(Expr::Lookup { set: names.endpoints.clone(), from: Reg(0), to: Some(Reg(0)) });
    exprs.push(dnat(ip.family));
    exprs
}

/// Sends the connection to the address and port that start at register 0.
pub(super) fn dnat(family: Family) -> Expr {
    let ip = Ip::of(family);
    Expr::Dnat { family: family.nfproto() as u8, addr: Reg(0), port: Reg(ip.regs()) }
}

/// The verdict that leads into a class.
pub fn goto_class(class: Class, names: &FrontNames) -> Verdict {
    Verdict::Goto(class.chain_name(names))
}
