use crate::model::{Family, parse_net};
use ipnet::IpNet;
use std::net::IpAddr;

/// An item of `nodePortAddresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortRange {
    /// This node's own addresses.
    Primary,
    Localhost,
    All,
    Range(IpNet),
}

impl NodePortRange {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "primary" => Some(Self::Primary),
            "localhost" => Some(Self::Localhost),
            "all" => Some(Self::All),
            range => parse_net(range).map(Self::Range),
        }
    }
}

/// The ranges that take node ports in one family; `None` for all addresses.
///
/// As upstream, a family that no range is about takes node ports on all its addresses. Unlike upstream, `primary` does
/// not mean all while the node has no address yet: the ports open when it has.
pub fn ranges_for(items: &[NodePortRange], family: Family, node_ips: &[IpAddr]) -> Option<Vec<IpNet>> {
    let mut ranges = Vec::new();
    let mut about_family = false;
    for item in items {
        match item {
            NodePortRange::All => return None,
            NodePortRange::Localhost => about_family = true,
            NodePortRange::Primary => {
                let mine = node_ips
                    .iter()
                    .copied()
                    .filter(|ip| Family::of(*ip) == family && !ip.is_loopback());
                let before = ranges.len();
                ranges.extend(mine.map(IpNet::from));
                about_family |= ranges.len() > before || node_ips.is_empty();
            }
            NodePortRange::Range(net) if Family::of_net(net) == family => {
                if net.prefix_len() == 0 {
                    return None;
                }
                about_family = true;
                ranges.push(*net);
            }
            NodePortRange::Range(_) => {}
        }
    }
    about_family.then_some(ranges)
}
