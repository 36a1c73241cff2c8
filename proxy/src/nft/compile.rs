//! From the routes of a Service to elements and chains.

use super::conditions::{from_this_host, local_traffic, mark_for_masquerade};
use super::element::{Bytes, Element, Value};
use super::expr::{CmpOp, Expr, Reg};
use super::ip::Ip;
use super::names::{Class, Front, FrontNames, Names, Scope, dnat};
use super::object::{Chain, Rule, Set};
use super::settings::Settings;
use super::title::Titles;
use super::verdict::Verdict;
use crate::model::{Endpoint, External, PortRoute, ServiceName};
use std::net::IpAddr;
use std::sync::Arc;

/// Something that one Service at a time can have: a destination, or an element that several may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    ClusterIp(IpAddr),
    Destination { addr: IpAddr, protocol: u8, port: u16 },
    NodePort { protocol: u8, port: u16 },
    Hairpin { addr: IpAddr, protocol: u8, port: u16 },
}

/// What the route lays claim to.
pub fn claims(route: &PortRoute) -> Vec<Claim> {
    let protocol = route.protocol.number();
    let mut all = vec![
        Claim::ClusterIp(route.cluster_ip),
        Claim::Destination {
            addr: route.cluster_ip,
            protocol,
            port: route.port,
        },
    ];
    if let Some(external) = &route.external {
        all.extend(external.addresses().map(|addr| Claim::Destination {
            addr,
            protocol,
            port: route.port,
        }));
        all.extend(external.node_port.map(|port| Claim::NodePort { protocol, port }));
    }
    all.extend(route.reachable().filter(|e| e.local).map(|e| Claim::Hairpin {
        addr: e.ip,
        protocol,
        port: e.port,
    }));
    all
}

impl External {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let also = self
            .load_balancer_ips
            .iter()
            .filter(|ip| !self.external_ips.contains(ip));
        self.external_ips.iter().chain(also).copied()
    }
}

/// Takes what a route compiles to.
pub trait Sink {
    fn element(&mut self, element: Element);
    /// The destination is in this class, whose set and rules must be there.
    fn class(&mut self, class: Class, destination: Bytes);
    fn chain(&mut self, chain: Chain);
    /// A set that rules fill.
    fn set(&mut self, set: Set);
}

/// What a compilation reads besides the route.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub settings: &'a Settings,
    pub names: &'a Names,
}

/// One destination, in the form of the maps.
struct Destination {
    front: Front,
    key: Bytes,
}

impl Destination {
    fn service(addr: IpAddr, protocol: u8, port: u16) -> Self {
        Self {
            front: Front::Service,
            key: Bytes::default().addr(addr).proto(protocol).port(port),
        }
    }

    fn node_port(protocol: u8, port: u16) -> Self {
        Self {
            front: Front::NodePort,
            key: Bytes::default().proto(protocol).port(port),
        }
    }
}

/// Compiles one port. Elements that `owns` denies are left out: another Service has them.
pub fn compile(
    context: Context<'_>,
    service: &ServiceName,
    route: &PortRoute,
    owns: &dyn Fn(&Claim) -> bool,
    sink: &mut dyn Sink,
) {
    let protocol = route.protocol.number();
    let names = context.names;
    if owns(&Claim::ClusterIp(route.cluster_ip)) {
        sink.element(Element::new(
            &names.cluster_ips,
            Bytes::default().addr(route.cluster_ip),
            Value::None,
        ));
    }
    for endpoint in route.reachable().filter(|e| e.local) {
        let ip = endpoint.ip;
        if owns(&Claim::Hairpin {
            addr: ip,
            protocol,
            port: endpoint.port,
        }) {
            let key = Bytes::default()
                .addr(ip)
                .addr(ip)
                .proto(protocol)
                .port(endpoint.port);
            sink.element(Element::new(&names.hairpin_connections, key, Value::None));
        }
    }
    // Hashing names is dear: only Services with chains of their own, or without endpoints, have them made.
    let needs_titles = route.affinity_seconds.is_some() || firewalled(route).is_some();
    let titles = needs_titles.then(|| Titles::new(service, route));
    let compiler = Compiler {
        context,
        service,
        route,
        titles: titles.as_ref(),
    };
    if owns(&Claim::Destination {
        addr: route.cluster_ip,
        protocol,
        port: route.port,
    }) {
        compiler.internal(
            &Destination::service(route.cluster_ip, protocol, route.port),
            sink,
        );
    }
    if let Some(external) = &route.external {
        for addr in external.addresses() {
            if owns(&Claim::Destination {
                addr,
                protocol,
                port: route.port,
            }) {
                compiler.external(external, &Destination::service(addr, protocol, route.port), sink);
            }
        }
        if let Some(port) = external.node_port
            && owns(&Claim::NodePort { protocol, port })
        {
            compiler.external(external, &Destination::node_port(protocol, port), sink);
        }
        compiler.firewall(owns, sink);
    }
    if let (Some(seconds), Some(titles)) = (route.affinity_seconds, &titles) {
        compiler.affinity(titles, seconds, sink);
    }
}

/// The load balancer addresses of a port that only some sources may use.
fn firewalled(route: &PortRoute) -> Option<&External> {
    route
        .external
        .as_deref()
        .filter(|e| !e.load_balancer_ips.is_empty() && !e.source_ranges.is_empty())
}

struct Compiler<'a> {
    context: Context<'a>,
    service: &'a ServiceName,
    route: &'a PortRoute,
    titles: Option<&'a Titles>,
}

impl Compiler<'_> {
    fn internal(&self, to: &Destination, sink: &mut dyn Sink) {
        let route = self.route;
        if !route.has_internal_endpoints() {
            return self.no_endpoints(to, sink);
        }
        let endpoints = if route.internal_local {
            &route.local
        } else {
            &route.cluster
        };
        if let Some(titles) = self.affine() {
            let chain = if route.internal_local {
                titles.local()
            } else {
                titles.cluster()
            };
            return self.own_chain(to, chain, sink);
        }
        self.spread(to, Scope::Cluster, endpoints, sink);
        self.listed(to, |names| &names.routes, sink);
    }

    fn external(&self, external: &External, to: &Destination, sink: &mut dyn Sink) {
        let route = self.route;
        if route.has_endpoints {
            if let Some(titles) = self.affine() {
                self.own_chain(to, titles.external(), sink);
            } else {
                self.spread(to, Scope::Cluster, &route.cluster, sink);
                if external.local {
                    self.spread(to, Scope::Local, &route.local, sink);
                    self.listed(to, |names| &names.external_local, sink);
                } else {
                    self.listed(to, |names| &names.external, sink);
                }
            }
        }
        if !route.has_external_endpoints() {
            self.no_endpoints(to, sink);
        }
    }

    fn affine(&self) -> Option<&Titles> {
        self.titles.filter(|_| self.route.affinity_seconds.is_some())
    }

    /// Numbers the endpoints and puts the destination into the class of their count.
    fn spread(&self, to: &Destination, scope: Scope, endpoints: &[Endpoint], sink: &mut dyn Sink) {
        if endpoints.is_empty() {
            return;
        }
        let set = &self.context.names.front(to.front).endpoints;
        for (number, endpoint) in (scope.first_slot()..).zip(endpoints) {
            let value = Bytes::default().addr(endpoint.ip).port(endpoint.port);
            sink.element(Element::new(set, to.key.number(number), Value::Data(value)));
        }
        sink.class(Class::of(to.front, scope, endpoints.len()), to.key);
    }

    fn listed(&self, to: &Destination, set: impl Fn(&FrontNames) -> &Arc<str>, sink: &mut dyn Sink) {
        sink.element(Element::new(
            set(self.context.names.front(to.front)),
            to.key,
            Value::None,
        ));
    }

    fn own_chain(&self, to: &Destination, chain: Arc<str>, sink: &mut dyn Sink) {
        let names = self.context.names;
        let map = match to.front {
            Front::Service => &names.service_ips,
            Front::NodePort => &names.service_node_ports,
        };
        sink.element(Element::new(map, to.key, Value::Verdict(Verdict::Goto(chain))));
    }

    /// No endpoints at all: refuse. None that the traffic may use, but others have some: drop.
    fn no_endpoints(&self, to: &Destination, sink: &mut dyn Sink) {
        let names = self.context.names;
        let map = match to.front {
            Front::Service => &names.no_endpoint_services,
            Front::NodePort => &names.no_endpoint_node_ports,
        };
        let verdict = if self.route.has_endpoints {
            Verdict::Drop
        } else {
            Verdict::Goto(names.reject.clone())
        };
        let port = &self.route.name;
        let colon = if port.is_empty() { "" } else { ":" };
        let comment = format!("{}/{}{colon}{port}", self.service.namespace, self.service.name);
        let mut element = Element::new(map, to.key, Value::Verdict(verdict));
        element.comment = Some(comment.into());
        sink.element(element);
    }

    fn firewall(&self, owns: &dyn Fn(&Claim) -> bool, sink: &mut dyn Sink) {
        let (Some(external), Some(titles)) = (firewalled(self.route), self.titles) else {
            return;
        };
        let settings = self.context.settings;
        let protocol = self.route.protocol.number();
        let port = self.route.port;
        let chain = titles.firewall();
        for addr in &external.load_balancer_ips {
            if owns(&Claim::Destination {
                addr: *addr,
                protocol,
                port,
            }) {
                let to = Destination::service(*addr, protocol, port);
                let verdict = Value::Verdict(Verdict::Goto(chain.clone()));
                sink.element(Element::new(&self.context.names.firewall_ips, to.key, verdict));
            }
        }
        let mut sources = external.source_ranges.clone();
        // A node that may use the address may do so from the address itself, which some load balancers give it.
        if settings
            .node_ip
            .is_some_and(|ip| sources.iter().any(|net| net.contains(&ip)))
        {
            sources.extend(
                external
                    .load_balancer_ips
                    .iter()
                    .map(|ip| ipnet::IpNet::from(*ip)),
            );
        }
        let ip = Ip::of(settings.family);
        let mut rules: Vec<Rule> = sources
            .into_iter()
            .map(|net| {
                let mut exprs = ip.prefix(ip.load_saddr(Reg(0)), CmpOp::Eq, net);
                exprs.push(Expr::Verdict(Verdict::Return));
                Rule::new(exprs)
            })
            .collect();
        rules.push(Rule::new(vec![Expr::Verdict(Verdict::Drop)]));
        sink.chain(Chain::new(chain, rules));
    }

    /// The chains of a port with session affinity: a client's first connection picks an endpoint, whose set then
    /// remembers the client.
    fn affinity(&self, titles: &Titles, seconds: u32, sink: &mut dyn Sink) {
        let route = self.route;
        let settings = self.context.settings;
        let ip = Ip::of(settings.family);
        if !route.cluster.is_empty() {
            sink.chain(sticky(titles.cluster(), titles, &ip, &route.cluster));
        }
        if !route.local.is_empty() {
            sink.chain(sticky(titles.local(), titles, &ip, &route.local));
        }
        if let (Some(external), true) = (&route.external, route.has_endpoints) {
            sink.chain(self.external_chain(titles, external));
        }
        for endpoint in route.reachable() {
            let (chain, set) = titles.endpoint(endpoint.addr());
            let mut exprs = vec![
                ip.load_saddr(Reg(0)),
                Expr::Update {
                    set: set.clone(),
                    from: Reg(0),
                },
            ];
            let remember = Rule::new(std::mem::take(&mut exprs));
            exprs.push(Expr::Immediate {
                to: Reg(0),
                data: Bytes::default().addr(endpoint.ip).as_bytes().to_vec(),
            });
            exprs.push(Expr::Immediate {
                to: Reg(ip.regs()),
                data: endpoint.port.to_be_bytes().to_vec(),
            });
            exprs.push(dnat(ip.family));
            sink.chain(Chain::new(chain, vec![remember, Rule::new(exprs)]));
            sink.set(Set {
                name: set,
                key: vec![ip.addr],
                to: None,
                timeout_ms: Some(u64::from(seconds) * 1000),
                comment: None,
            });
        }
    }

    fn external_chain(&self, titles: &Titles, external: &External) -> Chain {
        let settings = self.context.settings;
        let goto = |chain| vec![Expr::Verdict(Verdict::Goto(chain))];
        let mut rules = Vec::new();
        let mut rule = |parts: Vec<Vec<Expr>>, comment| {
            rules.push(Rule {
                exprs: parts.into_iter().flatten().collect(),
                comment,
            });
        };
        if !external.local {
            rule(
                vec![mark_for_masquerade(settings.masquerade_mark)],
                Some("masquerade"),
            );
            rule(vec![goto(titles.cluster())], None);
        } else {
            if let Some(from_pods) = local_traffic(settings, CmpOp::Eq) {
                rule(
                    vec![from_pods, goto(titles.cluster())],
                    Some("short-circuit pod traffic"),
                );
            }
            rule(
                vec![from_this_host(), mark_for_masquerade(settings.masquerade_mark)],
                Some("masquerade local traffic"),
            );
            rule(
                vec![from_this_host(), goto(titles.cluster())],
                Some("short-circuit local traffic"),
            );
            if !self.route.local.is_empty() {
                rule(vec![goto(titles.local())], None);
            }
        }
        Chain::new(titles.external(), rules)
    }
}

/// Sends known clients to their endpoint and others to one at random: the i-th of n takes one in n - i of what is left.
fn sticky(name: Arc<str>, titles: &Titles, ip: &Ip, endpoints: &[Endpoint]) -> Chain {
    let goto = |chain: &Arc<str>| Expr::Verdict(Verdict::Goto(chain.clone()));
    let named: Vec<_> = endpoints.iter().map(|e| titles.endpoint(e.addr())).collect();
    let mut rules: Vec<Rule> = named
        .iter()
        .map(|(chain, set)| {
            let known = Expr::Lookup {
                set: set.clone(),
                from: Reg(0),
                to: None,
            };
            Rule::new(vec![ip.load_saddr(Reg(0)), known, goto(chain)])
        })
        .collect();
    for (left, (chain, _)) in (1..=named.len() as u32).rev().zip(&named) {
        let mut exprs = Vec::with_capacity(3);
        if left > 1 {
            exprs.push(Expr::Random {
                modulus: left,
                offset: 0,
                to: Reg(0),
            });
            exprs.push(Expr::Cmp {
                op: CmpOp::Eq,
                from: Reg(0),
                data: vec![0; 4],
            });
        }
        exprs.push(goto(chain));
        rules.push(Rule::new(exprs));
    }
    Chain::new(name, rules)
}
