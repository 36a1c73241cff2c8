//! The part of the table that does not depend on Services: hooks, static chains, sets and maps.
//!
//! ```text
//! prerouting/output -110  filter-*-pre-dnat -> firewall-check: load-balancer source ranges
//! prerouting/output -100  nat-prerouting, nat-output -> services: which Service, which endpoint
//! input/forward/output 0  filter-* -> {nodeport,service}-endpoints-check, cluster-ips-check: reject or drop
//! postrouting        100  nat-postrouting -> masquerading
//! ```
//!
//! Names, hooks, priorities and types of what upstream has too are upstream's, so that either side reads, replaces
//! and cleans up the other's table.

use super::expr::{Base, CmpOp, CtKey, Expr, FibOf, MetaKey, Reg};
use super::names::{Class, Front, Names, Scope, last_resort};
use super::object::{Chain, ChainKind, DataType, Hook, HookNumber, MapTo, Rule, Set};
use super::verdict::Verdict;
use crate::model::Family;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

pub const TABLE: &str = "kube-proxy";
pub const TABLE_COMMENT: &str = "rules for kube-proxy";

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

/// Offsets and widths that differ between the families.
pub(super) struct Ip {
    pub family: Family,
    pub saddr: u32,
    pub daddr: u32,
    pub len: u32,
    pub addr: DataType,
}

impl Ip {
    pub fn of(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self {
                family,
                saddr: 12,
                daddr: 16,
                len: 4,
                addr: DataType::Ipv4Addr,
            },
            Family::Ipv6 => Self {
                family,
                saddr: 8,
                daddr: 24,
                len: 16,
                addr: DataType::Ipv6Addr,
            },
        }
    }

    /// Registers that an address takes.
    pub fn regs(&self) -> u8 {
        (self.len / 4) as u8
    }

    pub fn load_saddr(&self, to: Reg) -> Expr {
        Expr::Payload {
            base: Base::Network,
            offset: self.saddr,
            len: self.len,
            to,
        }
    }

    pub fn load_daddr(&self, to: Reg) -> Expr {
        Expr::Payload {
            base: Base::Network,
            offset: self.daddr,
            len: self.len,
            to,
        }
    }

    /// Loads the key of a Service's front and says which register comes behind it.
    pub fn load_front(&self, front: Front) -> (Vec<Expr>, Reg) {
        let (mut exprs, next) = match front {
            Front::Service => (vec![self.load_daddr(Reg(0))], self.regs()),
            Front::NodePort => (Vec::new(), 0),
        };
        exprs.push(Expr::MetaLoad {
            key: MetaKey::L4Proto,
            to: Reg(next),
        });
        exprs.push(Expr::Payload {
            base: Base::Transport,
            offset: 2,
            len: 2,
            to: Reg(next + 1),
        });
        (exprs, Reg(next + 2))
    }

    pub fn front_key(&self, front: Front) -> Vec<DataType> {
        let mut key = match front {
            Front::Service => vec![self.addr],
            Front::NodePort => Vec::new(),
        };
        key.extend([DataType::InetProto, DataType::InetService]);
        key
    }

    /// Matches (or with `Neq`, does not match) an address against a prefix.
    pub fn prefix(&self, load: Expr, op: CmpOp, net: IpNet) -> Vec<Expr> {
        let octets = |addr: IpAddr| match addr {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let mask = octets(net.netmask());
        let xor = vec![0; mask.len()];
        vec![
            load,
            Expr::Bitwise {
                reg: Reg(0),
                mask,
                xor,
            },
            Expr::Cmp {
                op,
                from: Reg(0),
                data: octets(net.network()),
            },
        ]
    }

    fn localhost(&self, op: CmpOp) -> Vec<Expr> {
        match self.family {
            Family::Ipv4 => vec![
                Expr::Payload {
                    base: Base::Network,
                    offset: self.daddr,
                    len: 1,
                    to: Reg(0),
                },
                Expr::Cmp {
                    op,
                    from: Reg(0),
                    data: vec![127],
                },
            ],
            Family::Ipv6 => vec![
                self.load_daddr(Reg(0)),
                Expr::Cmp {
                    op,
                    from: Reg(0),
                    data: std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
                },
            ],
        }
    }

    fn port_unreachable(&self) -> Expr {
        match self.family {
            Family::Ipv4 => Expr::Reject { code: 3 },
            Family::Ipv6 => Expr::Reject { code: 4 },
        }
    }
}

/// Sets the masquerade bit of the packet's mark.
pub(super) fn mark_for_masquerade(mark: u32) -> Vec<Expr> {
    vec![
        Expr::MetaLoad {
            key: MetaKey::Mark,
            to: Reg(0),
        },
        Expr::Bitwise {
            reg: Reg(0),
            mask: (!mark).to_ne_bytes().to_vec(),
            xor: mark.to_ne_bytes().to_vec(),
        },
        Expr::MetaSet {
            key: MetaKey::Mark,
            from: Reg(0),
        },
    ]
}

/// Matches traffic of pods, or with `Neq` traffic of others; `None` when that cannot be told.
pub(super) fn local_traffic(settings: &Settings, op: CmpOp) -> Option<Vec<Expr>> {
    let ip = Ip::of(settings.family);
    let iif = |data: Vec<u8>| {
        vec![
            Expr::MetaLoad {
                key: MetaKey::IifName,
                to: Reg(0),
            },
            Expr::Cmp {
                op,
                from: Reg(0),
                data,
            },
        ]
    };
    match &settings.local_traffic {
        LocalTraffic::Unknown => None,
        LocalTraffic::Cidr(net) => Some(ip.prefix(ip.load_saddr(Reg(0)), op, *net)),
        LocalTraffic::Interface(name) => {
            let mut data = name.as_bytes().to_vec();
            data.resize(16, 0);
            Some(iif(data))
        }
        LocalTraffic::InterfacePrefix(prefix) => Some(iif(prefix.as_bytes().to_vec())),
    }
}

/// Matches packets whose source address is this host's.
pub(super) fn from_this_host() -> Vec<Expr> {
    fib_local(FibOf::Saddr)
}

fn fib_local(of: FibOf) -> Vec<Expr> {
    const RTN_LOCAL: u32 = 2;
    vec![
        Expr::FibType { of, to: Reg(0) },
        Expr::Cmp {
            op: CmpOp::Eq,
            from: Reg(0),
            data: RTN_LOCAL.to_ne_bytes().to_vec(),
        },
    ]
}

fn new_connections() -> Vec<Expr> {
    const STATE_NEW: u32 = 8;
    vec![
        Expr::CtLoad {
            key: CtKey::State,
            to: Reg(0),
        },
        Expr::Bitwise {
            reg: Reg(0),
            mask: STATE_NEW.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expr::Cmp {
            op: CmpOp::Neq,
            from: Reg(0),
            data: vec![0; 4],
        },
    ]
}

fn rule(parts: impl IntoIterator<Item = Vec<Expr>>) -> Rule {
    Rule::new(parts.into_iter().flatten().collect())
}

fn lookup(set: &Arc<str>) -> Expr {
    Expr::Lookup {
        set: set.clone(),
        from: Reg(0),
        to: None,
    }
}

fn lookup_verdict(set: &Arc<str>) -> Expr {
    Expr::LookupVerdict {
        set: set.clone(),
        from: Reg(0),
    }
}

/// All named sets and maps, without elements.
pub fn sets(settings: &Settings, names: &Names) -> Vec<Set> {
    let ip = Ip::of(settings.family);
    let set = |name: &Arc<str>, key: Vec<DataType>, comment| Set {
        name: name.clone(),
        key,
        to: None,
        timeout_ms: None,
        comment: Some(comment),
    };
    let map = |name: &Arc<str>, key: Vec<DataType>, to: MapTo, comment| Set {
        to: Some(to),
        ..set(name, key, comment)
    };
    let service = ip.front_key(Front::Service);
    let node_port = ip.front_key(Front::NodePort);
    let mut hairpin = vec![ip.addr];
    hairpin.extend(&service);
    let mut all = vec![
        set(&names.cluster_ips, vec![ip.addr], "Active ClusterIPs"),
        set(&names.hairpin_connections, hairpin, "service hairpin connections"),
        map(
            &names.no_endpoint_services,
            service.clone(),
            MapTo::Verdict,
            "vmap to drop or reject packets to services with no endpoints",
        ),
        map(
            &names.no_endpoint_node_ports,
            node_port.clone(),
            MapTo::Verdict,
            "vmap to drop or reject packets to service nodeports with no endpoints",
        ),
        map(
            &names.firewall_ips,
            service.clone(),
            MapTo::Verdict,
            "destinations that are subject to LoadBalancerSourceRanges",
        ),
        map(
            &names.service_ips,
            service,
            MapTo::Verdict,
            "ClusterIP, ExternalIP and LoadBalancer IP traffic",
        ),
        map(
            &names.service_node_ports,
            node_port,
            MapTo::Verdict,
            "NodePort traffic",
        ),
    ];
    if settings.node_port_addresses != NodePortAddresses::All {
        all.push(set(
            &names.node_port_ips,
            vec![ip.addr],
            "IPs that accept NodePort traffic",
        ));
    }
    for front in Front::ALL {
        let of = names.front(front);
        let key = ip.front_key(front);
        if front == Front::Service {
            all.push(set(&of.routes, key.clone(), "destinations of internal traffic"));
        }
        let mut numbered = key.clone();
        numbered.push(DataType::Mark);
        all.extend([
            set(
                &of.external,
                key.clone(),
                "destinations of external traffic, policy Cluster",
            ),
            set(
                &of.external_local,
                key,
                "destinations of external traffic, policy Local",
            ),
            map(
                &of.endpoints,
                numbered,
                MapTo::Data(vec![ip.addr, DataType::InetService]),
                "endpoints of each destination, numbered",
            ),
        ]);
    }
    all
}

/// The set of the destinations of a class.
pub fn class_set(settings: &Settings, class: Class, name: Arc<str>) -> Set {
    let key = Ip::of(settings.family).front_key(class.front);
    Set {
        name,
        key,
        to: None,
        timeout_ms: None,
        comment: Some("destinations with so many endpoints"),
    }
}

/// The rules of a class, for the head of its chain.
pub fn class_rules(settings: &Settings, names: &Names, class: Class, set: &Arc<str>) -> Vec<Rule> {
    class.rules(&Ip::of(settings.family), names, set).collect()
}

/// All static chains with their rules; base chains last.
pub fn chains(settings: &Settings, names: &Names) -> Vec<Chain> {
    let ip = Ip::of(settings.family);
    let mut all = vec![
        Chain::new(names.reject.clone(), vec![rule([vec![ip.port_unreachable()]])]),
        cluster_ips_check(settings, names, &ip),
        service_check("firewall-check", &names.firewall_ips, &ip),
        service_check("service-endpoints-check", &names.no_endpoint_services, &ip),
        Chain::new(
            "nodeport-endpoints-check",
            vec![rule([
                node_port_destination(settings, names, &ip, false),
                ip.load_front(Front::NodePort).0,
                vec![lookup_verdict(&names.no_endpoint_node_ports)],
            ])],
        ),
        masquerading(settings, names, &ip),
    ];
    for front in Front::ALL {
        all.extend(spread(names, &ip, front));
        all.extend(external(settings, names, front));
    }
    all.extend(services(settings, names, &ip));
    all.extend(base_chains());
    all
}

fn service_check(name: &str, map: &Arc<str>, ip: &Ip) -> Chain {
    Chain::new(
        name,
        vec![rule([ip.load_front(Front::Service).0, vec![lookup_verdict(map)]])],
    )
}

fn cluster_ips_check(settings: &Settings, names: &Names, ip: &Ip) -> Chain {
    let mut rules = vec![
        rule([vec![
            ip.load_daddr(Reg(0)),
            lookup(&names.cluster_ips),
            ip.port_unreachable(),
        ]])
        .comment("Reject traffic to invalid ports of ClusterIPs"),
    ];
    for cidr in &settings.service_cidrs {
        let drop = vec![Expr::Verdict(Verdict::Drop)];
        rules.push(
            rule([ip.prefix(ip.load_daddr(Reg(0)), CmpOp::Eq, *cidr), drop])
                .comment("Drop traffic to unallocated ClusterIPs"),
        );
    }
    Chain::new("cluster-ips-check", rules)
}

fn masquerading(settings: &Settings, names: &Names, ip: &Ip) -> Chain {
    const STATUS_DNAT: u32 = 1 << 5;
    let mark = settings.masquerade_mark;
    let load_mark = || Expr::MetaLoad {
        key: MetaKey::Mark,
        to: Reg(0),
    };
    let after_addresses = ip.regs() * 2;
    Chain::new(
        "masquerading",
        vec![
            rule([vec![
                load_mark(),
                Expr::Bitwise {
                    reg: Reg(0),
                    mask: mark.to_ne_bytes().to_vec(),
                    xor: vec![0; 4],
                },
                Expr::Cmp {
                    op: CmpOp::Neq,
                    from: Reg(0),
                    data: vec![0; 4],
                },
                load_mark(),
                Expr::Bitwise {
                    reg: Reg(0),
                    mask: u32::MAX.to_ne_bytes().to_vec(),
                    xor: mark.to_ne_bytes().to_vec(),
                },
                Expr::MetaSet {
                    key: MetaKey::Mark,
                    from: Reg(0),
                },
                Expr::MasqueradeFullyRandom,
            ]]),
            rule([vec![
                Expr::CtLoad {
                    key: CtKey::Status,
                    to: Reg(0),
                },
                Expr::Bitwise {
                    reg: Reg(0),
                    mask: STATUS_DNAT.to_ne_bytes().to_vec(),
                    xor: vec![0; 4],
                },
                Expr::Cmp {
                    op: CmpOp::Neq,
                    from: Reg(0),
                    data: vec![0; 4],
                },
                ip.load_saddr(Reg(0)),
                ip.load_daddr(Reg(ip.regs())),
                Expr::MetaLoad {
                    key: MetaKey::L4Proto,
                    to: Reg(after_addresses),
                },
                Expr::Payload {
                    base: Base::Transport,
                    offset: 2,
                    len: 2,
                    to: Reg(after_addresses + 1),
                },
                lookup(&names.hairpin_connections),
                Expr::MasqueradeFullyRandom,
            ]]),
        ],
    )
}

/// The chains that spread connections, without the rules of the classes.
fn spread(names: &Names, ip: &Ip, front: Front) -> impl Iterator<Item = Chain> {
    [Scope::Cluster, Scope::Local].into_iter().map(move |scope| {
        Chain::new(
            names.front(front).spread(scope).clone(),
            vec![last_resort(ip, names, front, scope)],
        )
    })
}

fn goto(chain: &Arc<str>) -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Goto(chain.clone()))]
}

/// The chains of external traffic.
///
/// Under the policy `Cluster`, connections are masqueraded, since they may leave for another node. Under `Local`, pods
/// and the node itself reach all endpoints, as if their traffic went out to the load balancer and came back; the rest
/// reaches this node's endpoints and keeps its source address.
fn external(settings: &Settings, names: &Names, front: Front) -> [Chain; 2] {
    let of = names.front(front);
    let masquerade = || mark_for_masquerade(settings.masquerade_mark);
    let cluster = vec![
        rule([masquerade()]).comment("masquerade"),
        rule([goto(of.spread(Scope::Cluster))]),
    ];
    let mut local = Vec::new();
    if let Some(from_pods) = local_traffic(settings, CmpOp::Eq) {
        local.push(rule([from_pods, goto(of.spread(Scope::Cluster))]).comment("short-circuit pod traffic"));
    }
    local.push(rule([from_this_host(), masquerade()]).comment("masquerade local traffic"));
    local.push(
        rule([from_this_host(), goto(of.spread(Scope::Cluster))]).comment("short-circuit local traffic"),
    );
    local.push(rule([goto(of.spread(Scope::Local))]));
    [
        Chain::new(of.external.clone(), cluster),
        Chain::new(of.external_local.clone(), local),
    ]
}

/// Matches destinations that take node ports. `routed` asks whether the address is this host's, which traffic that
/// reached the input hook has shown already.
fn node_port_destination(settings: &Settings, names: &Names, ip: &Ip, routed: bool) -> Vec<Expr> {
    match &settings.node_port_addresses {
        NodePortAddresses::All => {
            let mut exprs = if routed {
                fib_local(FibOf::Daddr)
            } else {
                Vec::new()
            };
            exprs.extend(ip.localhost(CmpOp::Neq));
            exprs
        }
        NodePortAddresses::Only(_) => vec![ip.load_daddr(Reg(0)), lookup(&names.node_port_ips)],
    }
}

fn services(settings: &Settings, names: &Names, ip: &Ip) -> [Chain; 2] {
    let mut rules = Vec::new();
    let to_cluster_ip = || vec![ip.load_daddr(Reg(0)), lookup(&names.cluster_ips)];
    let masquerade = || mark_for_masquerade(settings.masquerade_mark);
    if settings.masquerade_all {
        rules.push(rule([to_cluster_ip(), masquerade()]).comment("masquerade all clusterIP traffic"));
    } else if let Some(not_from_pods) = local_traffic(settings, CmpOp::Neq) {
        rules.push(
            rule([to_cluster_ip(), not_from_pods, masquerade()])
                .comment("masquerade clusterIP traffic from outside cluster"),
        );
    }
    let listed = |front, set: &Arc<str>, chain: &Arc<str>| {
        rule([ip.load_front(front).0, vec![lookup(set)], goto(chain)])
    };
    let of = names.front(Front::Service);
    rules.push(listed(Front::Service, &of.routes, of.spread(Scope::Cluster)));
    rules.push(listed(Front::Service, &of.external, &of.external));
    rules.push(listed(Front::Service, &of.external_local, &of.external_local));
    rules.push(rule([
        ip.load_front(Front::Service).0,
        vec![lookup_verdict(&names.service_ips)],
    ]));
    let node_ports: Arc<str> = "nodeports".into();
    rules.push(rule([
        node_port_destination(settings, names, ip, true),
        goto(&node_ports),
    ]));
    let of = names.front(Front::NodePort);
    let at_node_ports = vec![
        listed(Front::NodePort, &of.external, &of.external),
        listed(Front::NodePort, &of.external_local, &of.external_local),
        rule([
            ip.load_front(Front::NodePort).0,
            vec![lookup_verdict(&names.service_node_ports)],
        ]),
    ];
    [
        Chain::new(node_ports, at_node_ports),
        Chain::new("services", rules),
    ]
}

fn base_chains() -> impl Iterator<Item = Chain> {
    use ChainKind::{Filter, Nat};
    use HookNumber::{Forward, Input, Output, Postrouting, Prerouting};
    const DNAT: i32 = -100;
    const FILTER: i32 = 0;
    const SNAT: i32 = 100;
    let base = |name: &str, kind, number, priority, new_only: bool, jumps: &[&str]| Chain {
        name: name.into(),
        hook: Some(Hook {
            kind,
            number,
            priority,
        }),
        rules: jumps
            .iter()
            .map(|to| {
                let condition = if new_only { new_connections() } else { Vec::new() };
                rule([condition, vec![Expr::Verdict(Verdict::jump(to))]])
            })
            .collect(),
    };
    let firewall = ["firewall-check"];
    [
        base(
            "filter-prerouting-pre-dnat",
            Filter,
            Prerouting,
            DNAT - 10,
            true,
            &firewall,
        ),
        base(
            "filter-output-pre-dnat",
            Filter,
            Output,
            DNAT - 10,
            true,
            &firewall,
        ),
        base(
            "filter-input",
            Filter,
            Input,
            FILTER,
            true,
            &["nodeport-endpoints-check", "service-endpoints-check"],
        ),
        base(
            "filter-forward",
            Filter,
            Forward,
            FILTER,
            true,
            &["service-endpoints-check", "cluster-ips-check"],
        ),
        base(
            "filter-output",
            Filter,
            Output,
            FILTER,
            true,
            &["service-endpoints-check", "cluster-ips-check"],
        ),
        base("nat-prerouting", Nat, Prerouting, DNAT, false, &["services"]),
        base("nat-output", Nat, Output, DNAT, false, &["services"]),
        base(
            "nat-postrouting",
            Nat,
            Postrouting,
            SNAT,
            false,
            &["masquerading"],
        ),
    ]
    .into_iter()
}
