//! The address plan: the same in every rig, for no address leaves the rig's own network namespaces.
//!
//! | range | what |
//! |---|---|
//! | 198.18.0.0/24, fd98:18::/64 | machines: the control plane is .1, node *i* is .(10 + *i*) |
//! | 10.244.0.0/16, fd00:10:244::/56 | pods, a /24 and a /64 for each node |
//! | 10.96.0.0/16, fd00:10:96::/112 | Services |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most nodes that a rig may have: the machines' range is one /24.
pub const MAX_NODES: u8 = 100;

/// Name of the machine that holds etcd, the API server, the scheduler and the controllers.
pub const CONTROL_PLANE: &str = "cp";

pub const POD_RANGES: &str = "10.244.0.0/16,fd00:10:244::/56";
pub const SERVICE_RANGES: &str = "10.96.0.0/16,fd00:10:96::/112";
pub const DNS: [&str; 2] = ["10.96.0.10", "fd00:10:96::a"];
/// First addresses of the Service ranges: the `kubernetes` Service.
pub const API_SERVICE: [&str; 2] = ["10.96.0.1", "fd00:10:96::1"];

pub const API_PORT: u16 = 6443;
pub const ETCD_PORT: u16 = 2379;
/// Port of the image registry on the control plane.
pub const REGISTRY_PORT: u16 = 5000;

/// A machine's two addresses on the rig's bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Addresses {
    const fn host(number: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(198, 18, 0, number),
            v6: Ipv6Addr::new(0xfd98, 0x18, 0, 0, 0, 0, 0, number as u16),
        }
    }

    /// The address of the family of `other`.
    pub fn like(&self, other: IpAddr) -> IpAddr {
        match other {
            IpAddr::V4(_) => self.v4.into(),
            IpAddr::V6(_) => self.v6.into(),
        }
    }
}

/// Addresses of the control plane, which is also the bridge that the nodes hang on.
pub const fn control_plane() -> Addresses {
    Addresses::host(1)
}

/// Addresses of the node `n<number>`; numbers start at 1.
pub const fn node(number: u8) -> Addresses {
    Addresses::host(10 + number)
}

/// Name of a node, which is its host name too.
pub fn node_name(number: u8) -> String {
    format!("n{number}")
}

/// Names of the first `count` nodes.
pub fn node_names(count: u8) -> Vec<String> {
    (1..=count).map(node_name).collect()
}

/// The number in a node's name, if it is one.
pub fn node_number(name: &str) -> Option<u8> {
    let number: u8 = name.strip_prefix('n')?.parse().ok()?;
    (number > 0 && number <= MAX_NODES && node_name(number) == name).then_some(number)
}

/// The first host address in a pod range: that of the node's pod bridge.
pub fn gateway(range: ipnet::IpNet) -> IpAddr {
    match range {
        ipnet::IpNet::V4(net) => Ipv4Addr::from(u32::from(net.network()) + 1).into(),
        ipnet::IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()) + 1).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_its_own_addresses() {
        let mut all: Vec<IpAddr> = (1..=MAX_NODES)
            .map(node)
            .chain([control_plane()])
            .flat_map(|a| [IpAddr::V4(a.v4), a.v6.into()])
            .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(node(2).v4.to_string(), "198.18.0.12");
        assert_eq!(node(2).v6.to_string(), "fd98:18::c");
    }

    #[test]
    fn node_names_and_numbers_belong_together() {
        assert_eq!(node_names(2), ["n1", "n2"]);
        for (name, number) in [
            ("n1", Some(1)),
            ("n100", Some(100)),
            ("n101", None),
            ("n0", None),
            ("n01", None),
            ("cp", None),
            ("x1", None),
        ] {
            assert_eq!(node_number(name), number, "{name}");
        }
    }

    #[test]
    fn the_gateway_is_the_first_address_of_the_range() {
        for (range, gateway_address) in [
            ("10.244.1.0/24", "10.244.1.1"),
            ("fd00:10:244:1::/64", "fd00:10:244:1::1"),
        ] {
            assert_eq!(gateway(range.parse().unwrap()).to_string(), gateway_address);
        }
    }
}
