use crate::netlink::NfProto;
use ipnet::IpNet;
use machinery::meta::{Istr, ObjectKey};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Namespace and name of a Service.
pub type ServiceName = ObjectKey;

/// An IP family; each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    pub fn of_net(net: &IpNet) -> Self {
        Self::of(net.addr())
    }

    /// The name in Service specs, in metrics and in health documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    pub fn nfproto(self) -> NfProto {
        match self {
            Self::Ipv4 => NfProto::Ipv4,
            Self::Ipv6 => NfProto::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A transport protocol that Services know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
pub enum Protocol {
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

impl Protocol {
    /// `IPPROTO_*`.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As it stands in chain names.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Where a connection to a Service may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
    /// It runs on this node.
    pub local: bool,
}

impl Endpoint {
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// Ways into a Service port besides its ClusterIP.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct External {
    pub external_ips: Vec<IpAddr>,
    /// Ingress addresses of the load balancer that are to be handled here (`ipMode: VIP`).
    pub load_balancer_ips: Vec<IpAddr>,
    pub node_port: Option<u16>,
    /// Sources that may use the load balancer addresses; empty for all.
    pub source_ranges: Vec<IpNet>,
    /// `externalTrafficPolicy: Local`.
    pub local: bool,
}

/// One port of a Service in one family, with the endpoints that this node sends its traffic to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRoute {
    pub name: Istr,
    pub protocol: Protocol,
    pub port: u16,
    pub cluster_ip: IpAddr,
    pub external: Option<Box<External>>,
    /// `sessionAffinity: ClientIP`: how many seconds a client stays with its endpoint.
    pub affinity_seconds: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Endpoints for traffic under the policy `Cluster`, sorted.
    pub cluster: Box<[Endpoint]>,
    /// Endpoints for traffic under the policy `Local`, sorted.
    pub local: Box<[Endpoint]>,
    /// There is an endpoint somewhere, even if this node must not use it.
    pub has_endpoints: bool,
    /// UDP only: all that serve, whatever the policies say. Flows to others are stale.
    pub serving: Box<[SocketAddr]>,
}

impl PortRoute {
    pub fn is_external_local(&self) -> bool {
        self.external.as_ref().is_some_and(|e| e.local)
    }

    pub fn has_internal_endpoints(&self) -> bool {
        self.has_endpoints && !(self.internal_local && self.local.is_empty())
    }

    pub fn has_external_endpoints(&self) -> bool {
        self.has_endpoints && !(self.is_external_local() && self.local.is_empty())
    }

    /// Endpoints that some traffic through this node reaches, each once.
    pub fn reachable(&self) -> impl Iterator<Item = &Endpoint> {
        self.cluster
            .iter()
            .chain(self.local.iter().filter(|e| !self.cluster.contains(e)))
    }
}
