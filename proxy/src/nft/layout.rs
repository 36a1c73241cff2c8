//! The chains that do not depend on Services.
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

use super::conditions::{fib_local, from_this_host, local_traffic, mark_for_masquerade};
use super::expr::{Base, CmpOp, CtKey, Expr, FibOf, MetaKey, Reg};
use super::hooks::base_chains;
use super::ip::Ip;
use super::names::{Class, Front, Names, Scope, last_resort};
use super::object::{Chain, Rule};
use super::settings::{NodePortAddresses, Settings};
use super::verdict::Verdict;
use std::sync::Arc;

pub const TABLE: &str = "kube-proxy";
pub const TABLE_COMMENT: &str = "rules for kube-proxy";

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

/// The rules of a class, for the head of its chain.
pub fn class_rules(settings: &Settings, names: &Names, class: Class, set: &Arc<str>) -> Vec<Rule> {
    class.rules(&Ip::of(settings.family), names, set).collect()
}

/// All static chains with their rules; base chains last.
pub fn chains(settings: &Settings, names: &Names) -> Vec<Chain> {
    let ip = Ip::of(settings.family);
    let mut all = vec![
        Chain::new(
            names.reject.clone(),
            vec![Rule::of([vec![ip.port_unreachable()]])],
        ),
        cluster_ips_check(settings, names, &ip),
        service_check("firewall-check", &names.firewall_ips, &ip),
        service_check("service-endpoints-check", &names.no_endpoint_services, &ip),
        Chain::new(
            "nodeport-endpoints-check",
            vec![Rule::of([
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
        vec![Rule::of([
            ip.load_front(Front::Service).0,
            vec![lookup_verdict(map)],
        ])],
    )
}

fn cluster_ips_check(settings: &Settings, names: &Names, ip: &Ip) -> Chain {
    let cluster_ip = || vec![ip.load_daddr(Reg(0)), lookup(&names.cluster_ips)];
    let drop = || vec![Expr::Verdict(Verdict::Drop)];
    let mut rules = vec![
        // Sets are read one after the other: where a transaction ends in between, the chains above may have missed a
        // destination that is there. Its client tries again.
        Rule::of([
            cluster_ip(),
            ip.load_front(Front::Service).0,
            vec![lookup(&names.front(Front::Service).routes)],
            drop(),
        ])
        .comment("Drop traffic that a change of rules overtook"),
        Rule::of([cluster_ip(), vec![ip.port_unreachable()]])
            .comment("Reject traffic to invalid ports of ClusterIPs"),
    ];
    for cidr in &settings.service_cidrs {
        rules.push(
            Rule::of([ip.prefix(ip.load_daddr(Reg(0)), CmpOp::Eq, *cidr), drop()])
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
            Rule::of([vec![
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
            Rule::of([vec![
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
        Rule::of([masquerade()]).comment("masquerade"),
        Rule::of([goto(of.spread(Scope::Cluster))]),
    ];
    let mut local = Vec::new();
    if let Some(from_pods) = local_traffic(settings, CmpOp::Eq) {
        local.push(
            Rule::of([from_pods, goto(of.spread(Scope::Cluster))]).comment("short-circuit pod traffic"),
        );
    }
    local.push(Rule::of([from_this_host(), masquerade()]).comment("masquerade local traffic"));
    local.push(
        Rule::of([from_this_host(), goto(of.spread(Scope::Cluster))]).comment("short-circuit local traffic"),
    );
    local.push(Rule::of([goto(of.spread(Scope::Local))]));
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
        rules.push(Rule::of([to_cluster_ip(), masquerade()]).comment("masquerade all clusterIP traffic"));
    } else if let Some(not_from_pods) = local_traffic(settings, CmpOp::Neq) {
        rules.push(
            Rule::of([to_cluster_ip(), not_from_pods, masquerade()])
                .comment("masquerade clusterIP traffic from outside cluster"),
        );
    }
    let listed = |front, set: &Arc<str>, chain: &Arc<str>| {
        Rule::of([ip.load_front(front).0, vec![lookup(set)], goto(chain)])
    };
    let of = names.front(Front::Service);
    rules.push(listed(Front::Service, &of.routes, of.spread(Scope::Cluster)));
    rules.push(listed(Front::Service, &of.external, &of.external));
    rules.push(listed(Front::Service, &of.external_local, &of.external_local));
    rules.push(Rule::of([
        ip.load_front(Front::Service).0,
        vec![lookup_verdict(&names.service_ips)],
    ]));
    let node_ports: Arc<str> = "nodeports".into();
    rules.push(Rule::of([
        node_port_destination(settings, names, ip, true),
        goto(&node_ports),
    ]));
    let of = names.front(Front::NodePort);
    let at_node_ports = vec![
        listed(Front::NodePort, &of.external, &of.external),
        listed(Front::NodePort, &of.external_local, &of.external_local),
        Rule::of([
            ip.load_front(Front::NodePort).0,
            vec![lookup_verdict(&names.service_node_ports)],
        ]),
    ];
    [
        Chain::new(node_ports, at_node_ports),
        Chain::new("services", rules),
    ]
}
