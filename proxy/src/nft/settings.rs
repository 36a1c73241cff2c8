//! What a table depends on besides Services.

use crate::model::Family;
use ipnet::IpNet;
use std::net::IpAddr;

/// How to tell traffic of this node's pods (or of the cluster's) from the rest.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LocalTraffic {
    /// Nothing is known: all traffic counts as pod traffic.
    #[default]
    Unknown,
    Cidr(IpNet),
    Interface(String),
    InterfacePrefix(String),
}

/// Addresses that answer on node ports.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum NodePortAddresses {
    #[default]
    All,
    Only(Vec<IpAddr>),
}

/// What the whole table depends on. A change of any of it means a table made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub family: Family,
    /// The bit of the packet mark that asks for masquerading.
    pub masquerade_mark: u32,
    pub masquerade_all: bool,
    pub local_traffic: LocalTraffic,
    pub node_port_addresses: NodePortAddresses,
    /// Ranges of ClusterIPs: traffic to addresses in them that no Service has is dropped.
    pub service_cidrs: Vec<IpNet>,
    /// This node's address in this family.
    pub node_ip: Option<IpAddr>,
}

impl Settings {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            masquerade_mark: 1 << 14,
            masquerade_all: false,
            local_traffic: LocalTraffic::Unknown,
            node_port_addresses: NodePortAddresses::All,
            service_cidrs: Vec::new(),
            node_ip: None,
        }
    }
}
