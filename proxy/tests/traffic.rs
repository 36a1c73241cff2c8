//! Real traffic through a table in a kernel's network namespace of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use kube_proxy::model::{Family, PortRoute, ServiceName};
use kube_proxy::nft::{Batch, Kernel, LocalTraffic, Settings, Table};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;
use support::*;

/// A table that is kept in step with the kernel of one namespace.
struct Proxy<'a> {
    world: &'a World,
    table: Table,
}

impl<'a> Proxy<'a> {
    fn new(world: &'a World, family: Family) -> Self {
        Self::with(world, Settings::new(family))
    }

    fn with(world: &'a World, settings: Settings) -> Self {
        let mut this = Self {
            world,
            table: Table::new(settings),
        };
        this.rebuild();
        this
    }

    fn commit(&self, batch: Batch) {
        self.world
            .node
            .enter(|| Kernel::open().unwrap().commit(batch))
            .unwrap();
    }

    fn rebuild(&mut self) {
        let family = self.table.settings().family;
        let remembered = self
            .world
            .node
            .enter(|| Kernel::open().unwrap().affinity_entries(family))
            .unwrap();
        let batch = self.table.rebuild(&remembered);
        self.commit(batch);
    }

    fn set(&mut self, (name, routes): (ServiceName, Vec<PortRoute>)) {
        if let Some(batch) = self.table.update([(name, routes)]) {
            self.commit(batch);
        }
    }
}

fn names(answers: impl Iterator<Item = Result<(String, IpAddr), ErrorKind>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts
            .entry(answer.map_or_else(|e| e.to_string(), |(name, _)| name))
            .or_default() += 1;
    }
    counts
}

#[test]
fn a_cluster_ip_spreads_connections_and_follows_its_endpoints() {
    if !can_unshare() {
        return;
    }
    let world = World::new(3);
    (0..3).for_each(|n| serve(&world.pods[n], 8080, &format!("pod{}", n + 1)));
    let mut proxy = Proxy::new(&world, Family::Ipv4);
    let svc = service("web", "10.96.0.10", json!([{"name": "p", "port": 80}]), json!({}));
    let with = |pods: &[i32]| {
        routes(
            &svc,
            &[slice("web", Family::Ipv4, 8080, "TCP", pods)],
            Family::Ipv4,
        )
    };
    let many = || names((0..60).map(|_| ask(&world.client, [10, 96, 0, 10], 80)));

    assert_eq!(
        ask(&world.client, [10, 96, 0, 10], 80),
        Err(ErrorKind::TimedOut),
        "not a Service yet"
    );
    proxy.set(with(&[]));
    assert_eq!(
        ask(&world.client, [10, 96, 0, 10], 80),
        Err(ErrorKind::ConnectionRefused),
        "no endpoints"
    );
    proxy.set(with(&[1]));
    assert_eq!(many(), BTreeMap::from([("pod1".into(), 60)]));
    assert_eq!(
        ask(&world.client, [10, 96, 0, 10], 81),
        Err(ErrorKind::ConnectionRefused),
        "not a port of it"
    );
    proxy.set(with(&[1, 2, 3]));
    let counts = many();
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|n| *n > 5), "{counts:?}");
    proxy.set(with(&[1, 3]));
    assert_eq!(many().keys().collect::<Vec<_>>(), ["pod1", "pod3"]);
    let (_, seen) = ask(&world.client, [10, 96, 0, 10], 80).unwrap();
    assert_eq!(seen, IpAddr::V4(CLIENT), "nothing asked for masquerading");
    assert_eq!(
        names((0..20).map(|_| ask(&world.node, [10, 96, 0, 10], 80))).len(),
        2,
        "the node itself"
    );
    let hairpin = names((0..20).map(|_| ask(&world.pods[0], [10, 96, 0, 10], 80)));
    assert_eq!(
        hairpin.keys().collect::<Vec<_>>(),
        ["pod1", "pod3"],
        "a pod reaches itself"
    );
    proxy.rebuild();
    assert_eq!(many().keys().collect::<Vec<_>>(), ["pod1", "pod3"], "made anew");
    proxy.set((svc.name.clone(), Vec::new()));
    assert_eq!(
        ask(&world.client, [10, 96, 0, 10], 80),
        Err(ErrorKind::TimedOut),
        "gone"
    );
    println!("{}", world.node.nft(&["list", "ruleset"]));
}

#[test]
fn ipv6_and_udp_work_too() {
    if !can_unshare() {
        return;
    }
    let world = World::new(2);
    (0..2).for_each(|n| serve(&world.pods[n], 8080, &format!("pod{}", n + 1)));
    let mut settings = Settings::new(Family::Ipv6);
    settings.local_traffic = LocalTraffic::Cidr("fd02::/64".parse().unwrap());
    let mut proxy = Proxy::with(&world, settings);
    let ip: IpAddr = "fd96::10".parse().unwrap();
    let ports =
        json!([{"name": "p", "port": 80, "nodePort": 30080}, {"name": "p", "protocol": "UDP", "port": 53}]);
    let svc = service("web", "fd96::10", ports, json!({"type": "NodePort"}));
    let slices = [
        slice("web", Family::Ipv6, 8080, "TCP", &[1, 2]),
        slice("web", Family::Ipv6, 8080, "UDP", &[1, 2]),
    ];
    proxy.set(routes(&svc, &slices, Family::Ipv6));

    assert_eq!(names((0..30).map(|_| ask(&world.client, ip, 80))).len(), 2);
    assert_eq!(names((0..30).map(|_| ask(&world.client, NODE6, 30080))).len(), 2);
    let (_, seen) = ask(&world.client, ip, 80).unwrap();
    assert_ne!(
        seen,
        IpAddr::V6(CLIENT6),
        "traffic from outside of the pods' range is masqueraded"
    );
    let answers = ask_udp(&world.client, ip, 53, 5);
    assert!(
        answers.iter().all(|a| a.is_some() && *a == answers[0]),
        "a UDP flow stays where it is: {answers:?}"
    );
    let spread: std::collections::BTreeSet<_> =
        (0..20).flat_map(|_| ask_udp(&world.client, ip, 53, 1)).collect();
    assert_eq!(spread.len(), 2, "{spread:?}");
    assert!(
        world
            .node
            .nft(&["list", "ruleset"])
            .contains("table ip6 kube-proxy")
    );
}

#[test]
fn node_ports_and_external_policy_local() {
    if !can_unshare() {
        return;
    }
    let world = World::new(2);
    (0..2).for_each(|n| serve(&world.pods[n], 8080, &format!("pod{}", n + 1)));
    let mut settings = Settings::new(Family::Ipv4);
    settings.local_traffic = LocalTraffic::InterfacePrefix("p".into());
    let mut proxy = Proxy::with(&world, settings);
    let ports = json!([{"name": "p", "port": 80, "nodePort": 30080}]);
    let cluster = service("web", "10.96.0.10", ports.clone(), json!({"type": "NodePort"}));
    let on = |pods: &[i32]| vec![slice("web", Family::Ipv4, 8080, "TCP", pods)];

    proxy.set(routes(&cluster, &on(&[1, 2]), Family::Ipv4));
    assert_eq!(names((0..30).map(|_| ask(&world.client, NODE, 30080))).len(), 2);
    assert_ne!(
        ask(&world.client, NODE, 30080).unwrap().1,
        IpAddr::V4(CLIENT),
        "masqueraded"
    );
    assert!(
        ask(&world.node, [127, 0, 0, 1], 30080).is_err(),
        "not on localhost"
    );
    proxy.set(routes(&cluster, &on(&[]), Family::Ipv4));
    assert_eq!(ask(&world.client, NODE, 30080), Err(ErrorKind::ConnectionRefused));

    let extra = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let local = service("web", "10.96.0.10", ports, extra);
    world.client.ip("route add 192.0.2.0/24 via 10.1.0.1");
    proxy.set(routes(&local, &on(&[1, -2]), Family::Ipv4));
    for (to, port) in [(IpAddr::from(NODE), 30080), (IpAddr::from([192, 0, 2, 1]), 80)] {
        assert_eq!(
            names((0..30).map(|_| ask(&world.client, to, port)))
                .keys()
                .collect::<Vec<_>>(),
            ["pod1"]
        );
        assert_eq!(
            ask(&world.client, to, port).unwrap().1,
            IpAddr::V4(CLIENT),
            "the source address is kept"
        );
        assert_eq!(
            names((0..30).map(|_| ask(&world.node, to, port))).len(),
            2,
            "the node reaches all"
        );
        assert_eq!(
            names((0..30).map(|_| ask(&world.pods[0], to, port))).len(),
            2,
            "pods reach all"
        );
    }
    proxy.set(routes(&local, &on(&[-1, -2]), Family::Ipv4));
    for (to, port) in [(IpAddr::from(NODE), 30080), (IpAddr::from([192, 0, 2, 1]), 80)] {
        assert_eq!(
            ask(&world.client, to, port),
            Err(ErrorKind::TimedOut),
            "dropped: endpoints are elsewhere"
        );
        assert_eq!(
            names((0..30).map(|_| ask(&world.node, to, port))).len(),
            2,
            "the node still reaches all"
        );
    }
    assert_eq!(
        names((0..30).map(|_| ask(&world.client, [10, 96, 0, 10], 80))).len(),
        2,
        "the ClusterIP has all"
    );
}

#[test]
fn load_balancer_source_ranges_are_enforced() {
    if !can_unshare() {
        return;
    }
    let world = World::new(1);
    serve(&world.pods[0], 8080, "pod1");
    world.client.ip("addr add 10.1.0.3/24 dev eth0");
    world.client.ip("route add 192.0.2.0/24 via 10.1.0.1");
    let mut proxy = Proxy::new(&world, Family::Ipv4);
    let with = |ranges: serde_json::Value| {
        let extra = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges,
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        let svc = service(
            "web",
            "10.96.0.10",
            json!([{"name": "p", "port": 80, "nodePort": 30080}]),
            extra,
        );
        routes(
            &svc,
            &[slice("web", Family::Ipv4, 8080, "TCP", &[1])],
            Family::Ipv4,
        )
    };
    proxy.set(with(json!(["172.16.0.0/12", " 10.1.0.2/31 "])));
    assert!(ask(&world.client, [192, 0, 2, 1], 80).is_ok());
    proxy.set(with(json!(["172.16.0.0/12"])));
    assert_eq!(ask(&world.client, [192, 0, 2, 1], 80), Err(ErrorKind::TimedOut));
    assert!(
        ask(&world.client, NODE, 30080).is_ok(),
        "node ports are not subject to it"
    );
    proxy.set(with(json!(["172.16.0.0/12", "0.0.0.0/0"])));
    assert!(ask(&world.client, [192, 0, 2, 1], 80).is_ok());
}

#[test]
fn session_affinity_holds_through_changes_and_a_new_table() {
    if !can_unshare() {
        return;
    }
    let world = World::new(3);
    (0..3).for_each(|n| serve(&world.pods[n], 8080, &format!("pod{}", n + 1)));
    let mut proxy = Proxy::new(&world, Family::Ipv4);
    let extra = json!({"type": "NodePort", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    let svc = service(
        "web",
        "10.96.0.10",
        json!([{"name": "p", "port": 80, "nodePort": 30080}]),
        extra,
    );
    let with = |pods: &[i32]| {
        routes(
            &svc,
            &[slice("web", Family::Ipv4, 8080, "TCP", pods)],
            Family::Ipv4,
        )
    };
    proxy.set(with(&[1, 2]));
    let (first, _) = ask(&world.client, [10, 96, 0, 10], 80).unwrap();
    let same = || names((0..20).map(|_| ask(&world.client, [10, 96, 0, 10], 80)));
    let only = BTreeMap::from([(first.clone(), 20)]);
    assert_eq!(same(), only);
    assert_eq!(
        names((0..20).map(|_| ask(&world.client, NODE, 30080))),
        only,
        "the node port too"
    );
    proxy.set(with(&[1, 2, 3]));
    assert_eq!(same(), only, "an endpoint more");
    proxy.rebuild();
    assert_eq!(same(), only, "made anew");
    let others: Vec<i32> = [1, 2, 3]
        .into_iter()
        .filter(|n| format!("pod{n}") != first)
        .collect();
    proxy.set(with(&others));
    let after = same();
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(!after.contains_key(&first), "its endpoint is gone: {after:?}");
    assert!(proxy.table.has_stale());
    let reap = proxy.table.reap().unwrap();
    proxy.commit(reap);
    assert!(
        !world
            .node
            .nft(&["list", "ruleset"])
            .contains(&format!("{}/8080 {{", pod_ip(first.as_bytes()[3] as usize - 49)))
    );
}

#[test]
fn a_new_table_fails_no_request() {
    if !can_unshare() {
        return;
    }
    let world = World::new(2);
    (0..2).for_each(|n| serve(&world.pods[n], 8080, &format!("pod{}", n + 1)));
    let mut proxy = Proxy::new(&world, Family::Ipv4);
    let svc = service("web", "10.96.0.10", json!([{"name": "p", "port": 80}]), json!({}));
    let with = |pods: &[i32]| {
        routes(
            &svc,
            &[slice("web", Family::Ipv4, 8080, "TCP", pods)],
            Family::Ipv4,
        )
    };
    proxy.set(with(&[1, 2]));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut asked = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        ask_within(Duration::from_secs(5), &world.client, [10, 96, 0, 10], 80)
                            .expect("a request failed");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..50 {
            proxy.rebuild();
            proxy.set(with(if round % 2 == 0 { &[1] } else { &[1, 2] }));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let asked: u32 = clients.into_iter().map(|c| c.join().unwrap()).sum();
        assert!(asked > 50, "{asked}");
    });
}

#[test]
fn a_udp_flow_leaves_an_endpoint_that_is_gone() {
    if !can_unshare() {
        return;
    }
    let world = World::new(2);
    (0..2).for_each(|n| serve(&world.pods[n], 5353, &format!("pod{}", n + 1)));
    let mut proxy = Proxy::new(&world, Family::Ipv4);
    let ports = json!([{"name": "p", "protocol": "UDP", "port": 53}]);
    let svc = service("dns", "10.96.0.53", ports, json!({}));
    let with = |pods: &[i32]| {
        routes(
            &svc,
            &[slice("dns", Family::Ipv4, 5353, "UDP", pods)],
            Family::Ipv4,
        )
    };
    let sweep = |before: &[PortRoute], after: &[PortRoute]| {
        let mut stale = kube_proxy::conntrack::Stale::default();
        stale.add(before, after);
        world
            .node
            .enter(|| {
                kube_proxy::conntrack::Sweeper::open()
                    .unwrap()
                    .sweep(Family::Ipv4, &stale)
            })
            .unwrap()
    };
    proxy.set(with(&[1]));
    let socket = world.client.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("10.96.0.53:53").unwrap();
        socket
            .set_read_timeout(Some(std::time::Duration::from_millis(500)))
            .unwrap();
        socket
    });
    let ask = || {
        let mut buf = [0; 64];
        socket.send(b"?").ok()?;
        let len = socket.recv(&mut buf).ok()?;
        Some(String::from_utf8_lossy(&buf[..len]).split(' ').next()?.to_owned())
    };
    assert_eq!(ask().as_deref(), Some("pod1"));
    proxy.set(with(&[2]));
    assert_eq!(ask().as_deref(), Some("pod1"), "the flow is tracked");
    assert_eq!(sweep(&with(&[2]).1, &with(&[2]).1), 0, "nothing changed");
    assert_eq!(sweep(&with(&[1]).1, &with(&[2]).1), 1);
    assert_eq!(ask().as_deref(), Some("pod2"));
}

#[test]
fn nft_reads_what_it_lists_of_ours() {
    if !can_unshare() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let world = World::new(2);
        let mut settings = Settings::new(family);
        settings.local_traffic = LocalTraffic::InterfacePrefix("cali".into());
        let mut proxy = Proxy::with(&world, settings);
        let ip = |last: u8| match family {
            Family::Ipv4 => format!("10.96.0.{last}"),
            Family::Ipv6 => format!("fd00:10:96::{last}"),
        };
        let ports = json!([{"name": "p", "port": 80, "nodePort": 30080}]);
        let node_port = json!({"type": "NodePort", "externalTrafficPolicy": "Local"});
        for (n, name, spec) in [
            (1, "web", node_port),
            (2, "sticky", json!({"sessionAffinity": "ClientIP"})),
            (3, "empty", json!({})),
        ] {
            let svc = service(name, &ip(n), ports.clone(), spec);
            let pods: &[i32] = if name == "empty" { &[] } else { &[1, -2] };
            proxy.set(routes(&svc, &[slice(name, family, 8080, "TCP", pods)], family));
        }
        let listed = world.node.nft(&["list", "ruleset"]);
        assert!(listed.contains("numgen random mod 2"), "{listed}");
        let file = tempfile::NamedTempFile::new().unwrap();
        // nft takes a port to translate to only behind a protocol in the same rule; ours was matched on the way to the chain.
        let stated = listed.replace("dnat to", "meta l4proto tcp dnat to");
        std::fs::write(file.path(), &stated).unwrap();
        let path = file.path().display().to_string();
        world.node.nft(&["flush", "ruleset"]);
        world.node.nft(&["-f", &path]);
        // Elements come in no order.
        let words = |text: &str| {
            let mut words: Vec<String> = text.split([' ', ',', '\n', '\t']).map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(words(&world.node.nft(&["list", "ruleset"])), words(&stated));
    }
}
