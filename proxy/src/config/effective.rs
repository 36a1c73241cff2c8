use super::addresses::NodePortRange;
use super::file::File;
use crate::model::Family;
use crate::nft::{LocalTraffic, NodePortAddresses, Settings};
use ipnet::IpNet;
use machinery::arith::duration;
use machinery::component::gates::Gates;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The configuration, checked and in types that fit.
#[derive(Clone, Debug)]
pub struct Config {
    pub kubeconfig: Option<PathBuf>,
    /// A cap that the user set on requests to the API server.
    pub cap: Option<(f32, u32)>,
    pub hostname_override: Option<String>,
    /// This node's address, over those of the Node object.
    pub bind_address: Option<IpAddr>,
    pub healthz: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub bind_hard_fail: bool,
    pub masquerade_mark: u32,
    pub masquerade_all: bool,
    pub detect_local: DetectLocal,
    pub node_port_ranges: Vec<NodePortRange>,
    pub oom_score_adj: i32,
    pub conntrack: Conntrack,
    pub sync_period: Duration,
    /// The least time between two transactions, where the user set one.
    pub min_sync_period: Option<Duration>,
    pub gates: Gates,
}

/// How traffic of pods is told from other traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectLocal {
    ClusterCidr(Vec<IpNet>),
    NodeCidr,
    Bridge(String),
    InterfacePrefix(String),
}

/// Settings of the kernel's connection tracking; zero leaves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    pub max_per_core: u32,
    pub min: u32,
    pub tcp_established: Duration,
    pub tcp_close_wait: Duration,
    pub tcp_be_liberal: bool,
    pub udp: Duration,
    pub udp_stream: Duration,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: &'static str,
    pub value: String,
    pub why: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: invalid value {:?}: {}", self.field, self.value, self.why)
    }
}

/// Collects what is wrong, so that all of it is told at once.
#[derive(Default)]
struct Checker {
    wrong: Vec<Invalid>,
}

impl Checker {
    fn reject(&mut self, field: &'static str, value: impl fmt::Display, why: impl Into<String>) {
        self.wrong.push(Invalid {
            field,
            value: value.to_string(),
            why: why.into(),
        });
    }

    fn parse<T: FromStr>(&mut self, field: &'static str, text: &str, why: &str) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.reject(field, text, why);
        }
        value
    }

    fn duration(&mut self, field: &'static str, text: Option<&String>) -> Duration {
        let Some(text) = text.filter(|t| !t.is_empty()) else {
            return Duration::ZERO;
        };
        match duration::parse(text) {
            Ok(value) => value,
            Err(error) => {
                self.reject(
                    field,
                    text,
                    format!("{error}; write it like 30s and not below zero"),
                );
                Duration::ZERO
            }
        }
    }

    fn address(&mut self, field: &'static str, text: Option<&String>) -> Option<SocketAddr> {
        let text = text.filter(|t| !t.is_empty() && *t != "off")?;
        let address: SocketAddr = self.parse(field, text, "it must be IP:port")?;
        if address.port() == 0 {
            self.reject(field, text, "port 0 cannot be served on");
        }
        Some(address)
    }

    fn count(&mut self, field: &'static str, value: Option<i32>) -> u32 {
        let value = value.unwrap_or_default();
        u32::try_from(value).unwrap_or_else(|_| {
            self.reject(field, value, "it must not be below zero");
            0
        })
    }
}

impl Config {
    /// Checks a completed file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(file: &File) -> Result<Self, Vec<Invalid>> {
        let mut check = Checker::default();
        let mode = file.mode.as_deref().unwrap_or_default();
        match mode {
            "nftables" => {}
            "iptables" | "ipvs" => check.reject(
                "mode",
                mode,
                "this kube-proxy has the mode nftables only; set mode: nftables (or --proxy-mode=nftables), or run upstream's kube-proxy here",
            ),
            other => check.reject("mode", other, "it must be nftables"),
        }
        let nftables = file.nftables.clone().unwrap_or_default();
        let masquerade_bit = nftables.masquerade_bit.unwrap_or(14);
        if !(0..=31).contains(&masquerade_bit) {
            check.reject(
                "nftables.masqueradeBit",
                masquerade_bit,
                "it must be within 0 and 31",
            );
        }
        let sync_period = check.duration("nftables.syncPeriod", nftables.sync_period.as_ref());
        let min_sync = check.duration("nftables.minSyncPeriod", nftables.min_sync_period.as_ref());
        if min_sync > sync_period {
            check.reject(
                "nftables.minSyncPeriod",
                duration::format(min_sync),
                "it must not be longer than nftables.syncPeriod",
            );
        }
        let bind: Option<IpAddr> = check.parse(
            "bindAddress",
            file.bind_address.as_deref().unwrap_or_default(),
            "it must be an IP address",
        );
        let oom_score_adj = file.oom_score_adj.unwrap_or(-999);
        if !(-1000..=1000).contains(&oom_score_adj) {
            check.reject("oomScoreAdj", oom_score_adj, "it must be within -1000 and 1000");
        }
        let client = file.client_connection.clone().unwrap_or_default();
        let burst = client.burst.unwrap_or(10);
        if burst < 0 {
            check.reject("clientConnection.burst", burst, "it must not be below zero");
        }
        let config = Self {
            kubeconfig: client.kubeconfig.filter(|p| !p.is_empty()).map(PathBuf::from),
            cap: client
                .qps
                .filter(|q| *q > 0.0)
                .map(|qps| (qps, u32::try_from(burst).unwrap_or(10))),
            hostname_override: file.hostname_override.clone().filter(|n| !n.is_empty()),
            bind_address: bind.filter(|ip| !ip.is_unspecified()),
            healthz: check.address("healthzBindAddress", file.healthz_bind_address.as_ref()),
            metrics: check.address("metricsBindAddress", file.metrics_bind_address.as_ref()),
            bind_hard_fail: file.bind_address_hard_fail.unwrap_or(false),
            masquerade_mark: 1u32.checked_shl(masquerade_bit as u32).unwrap_or_default(),
            masquerade_all: nftables.masquerade_all.unwrap_or(false),
            detect_local: detect_local(file, &mut check),
            node_port_ranges: node_port_ranges(file, &mut check),
            oom_score_adj,
            conntrack: conntrack(file, &mut check),
            sync_period,
            min_sync_period: Some(min_sync).filter(|d| !d.is_zero()),
            gates: Gates::from_map(file.feature_gates.clone().unwrap_or_default()),
        };
        if check.wrong.is_empty() {
            Ok(config)
        } else {
            Err(check.wrong)
        }
    }

    /// The table's settings, given what is known of the node now.
    pub fn settings(
        &self,
        family: Family,
        node_ips: &[IpAddr],
        pod_cidrs: &[IpNet],
        service_cidrs: &[IpNet],
        interface_ips: &[IpAddr],
    ) -> Settings {
        let of_family = |nets: &[IpNet]| nets.iter().copied().find(|net| Family::of_net(net) == family);
        let local_traffic = match &self.detect_local {
            DetectLocal::ClusterCidr(cidrs) => of_family(cidrs).map(LocalTraffic::Cidr),
            DetectLocal::NodeCidr => of_family(pod_cidrs).map(LocalTraffic::Cidr),
            DetectLocal::Bridge(name) => Some(LocalTraffic::Interface(name.clone())),
            DetectLocal::InterfacePrefix(prefix) => Some(LocalTraffic::InterfacePrefix(prefix.clone())),
        };
        let mut service_cidrs: Vec<IpNet> = service_cidrs
            .iter()
            .copied()
            .filter(|net| Family::of_net(net) == family)
            .collect();
        service_cidrs.sort_unstable();
        service_cidrs.dedup();
        Settings {
            family,
            masquerade_mark: self.masquerade_mark,
            masquerade_all: self.masquerade_all,
            local_traffic: local_traffic.unwrap_or_default(),
            node_port_addresses: self.node_port_addresses(family, node_ips, interface_ips),
            service_cidrs,
            node_ip: node_ips.iter().copied().find(|ip| Family::of(*ip) == family),
        }
    }

    fn node_port_addresses(
        &self,
        family: Family,
        node_ips: &[IpAddr],
        interface_ips: &[IpAddr],
    ) -> NodePortAddresses {
        let Some(ranges) = super::addresses::ranges_for(&self.node_port_ranges, family, node_ips) else {
            return NodePortAddresses::All;
        };
        let local = interface_ips
            .iter()
            .copied()
            .filter(|ip| Family::of(*ip) == family && !ip.is_loopback());
        let mut ips: Vec<IpAddr> = local
            .filter(|ip| ranges.iter().any(|net| net.contains(ip)))
            .collect();
        ips.sort_unstable();
        ips.dedup();
        NodePortAddresses::Only(ips)
    }

    /// This node's addresses, the primary one first: `bindAddress` where it is set, then the Node object's.
    pub fn node_ips(&self, of_object: &[IpAddr]) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = self.bind_address.into_iter().collect();
        for ip in of_object {
            if !ips.iter().any(|have| Family::of(*have) == Family::of(*ip)) {
                ips.push(*ip);
            }
        }
        ips
    }
}

fn detect_local(file: &File, check: &mut Checker) -> DetectLocal {
    let fields = file.detect_local.clone().unwrap_or_default();
    let mut named = |field, name: Option<String>| {
        let name = name.unwrap_or_default();
        if name.is_empty() || name.len() > 15 {
            check.reject(
                field,
                &name,
                "it must be the name of an interface, of 1 to 15 characters",
            );
        }
        name
    };
    match file.detect_local_mode.as_deref().unwrap_or_default() {
        "" | "ClusterCIDR" => {
            let text = file.cluster_cidr.as_deref().unwrap_or_default();
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let cidrs: Vec<IpNet> = parts
                .filter_map(|part| {
                    let net = crate::model::parse_net(part);
                    if net.is_none() {
                        check.reject("clusterCIDR", part, "it must be a range like 10.244.0.0/16");
                    }
                    net
                })
                .collect();
            DetectLocal::ClusterCidr(cidrs)
        }
        "NodeCIDR" => DetectLocal::NodeCidr,
        "BridgeInterface" => {
            DetectLocal::Bridge(named("detectLocal.bridgeInterface", fields.bridge_interface))
        }
        "InterfaceNamePrefix" => DetectLocal::InterfacePrefix(named(
            "detectLocal.interfaceNamePrefix",
            fields.interface_name_prefix,
        )),
        other => {
            check.reject(
                "detectLocalMode",
                other,
                "it must be ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
            );
            DetectLocal::NodeCidr
        }
    }
}

fn node_port_ranges(file: &File, check: &mut Checker) -> Vec<NodePortRange> {
    let texts = file.node_port_addresses.clone().unwrap_or_default();
    texts
        .iter()
        .filter_map(|text| {
            let range = NodePortRange::parse(text);
            if range.is_none() {
                check.reject(
                    "nodePortAddresses",
                    text,
                    "it must be a range, primary, localhost or all",
                );
            }
            range
        })
        .collect()
}

fn conntrack(file: &File, check: &mut Checker) -> Conntrack {
    let fields = file.conntrack.clone().unwrap_or_default();
    Conntrack {
        max_per_core: check.count("conntrack.maxPerCore", fields.max_per_core),
        min: check.count("conntrack.min", fields.min),
        tcp_established: check.duration(
            "conntrack.tcpEstablishedTimeout",
            fields.tcp_established_timeout.as_ref(),
        ),
        tcp_close_wait: check.duration(
            "conntrack.tcpCloseWaitTimeout",
            fields.tcp_close_wait_timeout.as_ref(),
        ),
        tcp_be_liberal: fields.tcp_be_liberal.unwrap_or(false),
        udp: check.duration("conntrack.udpTimeout", fields.udp_timeout.as_ref()),
        udp_stream: check.duration("conntrack.udpStreamTimeout", fields.udp_stream_timeout.as_ref()),
    }
}
