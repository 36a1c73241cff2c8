use super::flow::Flow;
use crate::model::{PortRoute, Protocol};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Destinations whose UDP flows are to be looked at, and the endpoints that they may lead to.
#[derive(Debug, Default)]
pub struct Stale {
    destinations: FxHashMap<SocketAddr, Arc<FxHashSet<SocketAddr>>>,
    node_ports: FxHashMap<u16, Arc<FxHashSet<SocketAddr>>>,
}

impl Stale {
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty() && self.node_ports.is_empty()
    }

    /// Adds what a change of one Service's routes makes stale: flows to endpoints that serve no more, and flows that
    /// began before the Service had an endpoint (or was there) and so go nowhere.
    ///
    /// Policies, topology and readiness do not matter: a flow to an endpoint that still serves is left alone, as a TCP
    /// connection would be.
    pub fn add(&mut self, before: &[PortRoute], after: &[PortRoute]) {
        let udp = |routes: &[PortRoute]| -> Vec<PortRoute> {
            routes
                .iter()
                .filter(|r| r.protocol == Protocol::Udp)
                .cloned()
                .collect()
        };
        let (before, after) = (udp(before), udp(after));
        for old in &before {
            // Destinations that the Service does not have any more lead nowhere.
            if !after.iter().any(|new| new.name == old.name) {
                self.allow(old, &Arc::default());
            }
        }
        for new in &after {
            let old = before.iter().find(|old| old.name == new.name);
            if let Some(old) = old {
                let same_fronts =
                    old.cluster_ip == new.cluster_ip && old.port == new.port && old.external == new.external;
                let lost = old.serving.iter().any(|e| !new.serving.contains(e));
                let first = old.serving.is_empty() && !new.serving.is_empty();
                if same_fronts && !lost && !first {
                    continue;
                }
                if !same_fronts {
                    self.allow(old, &Arc::default());
                }
            }
            self.allow(new, &Arc::new(new.serving.iter().copied().collect()));
        }
    }

    fn allow(&mut self, route: &PortRoute, endpoints: &Arc<FxHashSet<SocketAddr>>) {
        let external = route.external.as_deref();
        let more = external
            .iter()
            .flat_map(|e| e.external_ips.iter().chain(&e.load_balancer_ips));
        for ip in more.chain([&route.cluster_ip]) {
            self.destinations
                .insert(SocketAddr::new(*ip, route.port), endpoints.clone());
        }
        // A node port is known by its number alone, which other hosts' services may have too: only where endpoints
        // tell which flows are ours.
        if let Some(port) = external
            .and_then(|e| e.node_port)
            .filter(|_| !endpoints.is_empty())
        {
            self.node_ports.insert(port, endpoints.clone());
        }
    }

    /// The flow leads from one of these destinations to something that is not one of its endpoints.
    pub fn contains(&self, flow: &Flow<'_>) -> bool {
        if flow.protocol != Protocol::Udp.number() {
            return false;
        }
        let endpoints = self
            .destinations
            .get(&flow.to)
            .or_else(|| self.node_ports.get(&flow.to.port()));
        endpoints.is_some_and(|endpoints| !endpoints.contains(&flow.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::External;

    fn route(serving: &[&str]) -> PortRoute {
        PortRoute {
            name: "dns".into(),
            protocol: Protocol::Udp,
            port: 53,
            cluster_ip: "10.96.0.10".parse().unwrap(),
            external: Some(Box::new(External {
                node_port: Some(30053),
                ..External::default()
            })),
            affinity_seconds: None,
            internal_local: false,
            cluster: Box::default(),
            local: Box::default(),
            has_endpoints: !serving.is_empty(),
            serving: serving.iter().map(|s| s.parse().unwrap()).collect(),
        }
    }

    fn stale(before: &[PortRoute], after: &[PortRoute], to: &str, from: &str) -> bool {
        let mut stale = Stale::default();
        stale.add(before, after);
        let flow = Flow {
            protocol: 17,
            to: to.parse().unwrap(),
            from: from.parse().unwrap(),
            identity: vec![],
        };
        stale.contains(&flow)
    }

    #[test]
    fn flows_to_what_serves_no_more_are_stale() {
        let (one, two) = ("10.1.0.1:53", "10.1.0.2:53");
        let (vip, node_port) = ("10.96.0.10:53", "192.168.0.1:30053");
        let both = || vec![route(&[one, two])];
        let second = || vec![route(&[two])];
        for to in [vip, node_port] {
            assert!(stale(&both(), &second(), to, one), "its endpoint is gone");
            assert!(!stale(&both(), &second(), to, two), "its endpoint serves");
            assert!(
                stale(&[route(&[])], &second(), to, to),
                "it began before there was an endpoint"
            );
            assert!(
                stale(&[], &second(), to, to),
                "it began before there was a Service"
            );
            assert!(!stale(&second(), &both(), to, two), "one more endpoint");
        }
        assert!(
            !stale(&both(), &second(), "10.96.0.11:53", one),
            "another destination"
        );
        assert!(stale(&second(), &[], vip, two), "the Service is gone");
        assert!(
            !stale(&second(), &[], node_port, two),
            "without endpoints, nobody knows whose port it is"
        );
    }

    #[test]
    fn nothing_is_looked_at_when_no_flow_can_be_stale() {
        let mut stale = Stale::default();
        stale.add(
            &[route(&["10.1.0.1:53"])],
            &[route(&["10.1.0.1:53", "10.1.0.2:53"])],
        );
        let mut tcp = route(&[]);
        tcp.protocol = Protocol::Tcp;
        stale.add(&[tcp], &[]);
        assert!(stale.is_empty());
    }
}
