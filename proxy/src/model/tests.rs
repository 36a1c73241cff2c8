//! Which endpoints are used, by policy, condition and topology.

use super::*;
use serde_json::{Value, json};
use std::sync::Arc;

const HERE: &str = "here";

fn node(zone: Option<&str>) -> NodeFacts {
    NodeFacts {
        name: HERE.into(),
        zone: zone.map(Into::into),
    }
}

#[allow(clippy::needless_pass_by_value)]
fn service(spec: Value) -> Service {
    let mut whole = json!({"clusterIP": "10.96.0.1", "ports": [{"name": "p", "port": 80}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let status = whole
        .as_object_mut()
        .unwrap()
        .remove("status")
        .unwrap_or_default();
    serde_json::from_value(
        json!({"metadata": {"namespace": "ns", "name": "web"}, "spec": whole, "status": status}),
    )
    .unwrap()
}

/// `ip@node flags`: `r` ready, `s` serving, `t` terminating; then hints as `zone=a` or `node=here`.
fn slice(endpoints: &[&str]) -> Arc<EndpointSlice> {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|text| {
            let mut parts = text.split(' ');
            let (ip, on) = parts.next().unwrap().split_once('@').unwrap();
            let flags = parts.next().unwrap_or("rs");
            let mut hints = json!({});
            for hint in parts {
                let (kind, name) = hint.split_once('=').unwrap();
                hints[if kind == "zone" { "forZones" } else { "forNodes" }] = json!([{"name": name}]);
            }
            json!({"addresses": [format!("10.1.0.{ip}")], "nodeName": on, "hints": hints, "conditions":
                {"ready": flags.contains('r'), "serving": flags.contains('s'), "terminating": flags.contains('t')}})
        })
        .collect();
    let slice = json!({"metadata": {"namespace": "ns", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "p", "port": 8080}], "endpoints": endpoints});
    Arc::new(serde_json::from_value(slice).unwrap())
}

/// Last octets of the endpoints for the policies Cluster and Local.
fn used(route: &PortRoute) -> (String, String) {
    let octets = |endpoints: &[Endpoint]| {
        let all = endpoints
            .iter()
            .map(|e| e.ip.to_string().rsplit('.').next().unwrap().to_owned());
        all.collect::<Vec<_>>().join(",")
    };
    (octets(&route.cluster), octets(&route.local))
}

#[test]
fn policies_and_conditions_choose_endpoints() {
    let both = json!({"internalTrafficPolicy": "Local", "type": "NodePort", "ports": [{"name": "p", "port": 80, "nodePort": 30000}]});
    let external = json!({"externalTrafficPolicy": "Local", "type": "NodePort", "ports": [{"name": "p", "port": 80, "nodePort": 30000}]});
    let internal = json!({"internalTrafficPolicy": "Local"});
    let cluster = json!({});
    // name, spec, endpoints, for Cluster, for Local, any at all
    type Case<'a> = (&'a str, &'a Value, &'a [&'a str], &'a str, &'a str, bool);
    let cases: &[Case<'_>] = &[
        ("none", &cluster, &[], "", "", false),
        (
            "ready ones",
            &cluster,
            &["1@here", "2@there", "3@there s", "4@there t"],
            "1,2",
            "",
            true,
        ),
        ("not ready does not count", &cluster, &["1@here "], "", "", false),
        (
            "draining ones when none is ready",
            &cluster,
            &["1@here st", "2@there t"],
            "1",
            "",
            true,
        ),
        ("internal Local", &internal, &["1@here", "2@there"], "", "1", true),
        ("internal Local, none here", &internal, &["2@there"], "", "", true),
        (
            "internal Local, draining here",
            &internal,
            &["1@here st", "2@there"],
            "",
            "1",
            true,
        ),
        (
            "internal Local with a node port",
            &both,
            &["1@here", "2@there"],
            "1,2",
            "1",
            true,
        ),
        (
            "external Local",
            &external,
            &["1@here", "2@there"],
            "1,2",
            "1",
            true,
        ),
        (
            "external Local, draining here",
            &external,
            &["1@here st", "2@there"],
            "2",
            "1",
            true,
        ),
        (
            "external Local, all draining",
            &external,
            &["1@here st", "2@there st"],
            "1,2",
            "1",
            true,
        ),
        (
            "external Local, nothing serves",
            &external,
            &["1@here t", "2@there t"],
            "",
            "",
            false,
        ),
    ];
    for (name, spec, endpoints, for_cluster, for_local, any) in cases {
        let routes = resolve(
            &service((*spec).clone()),
            &[slice(endpoints)],
            &node(None),
            Family::Ipv4,
        );
        let (cluster, local) = used(&routes[0]);
        assert_eq!(
            (cluster.as_str(), local.as_str(), routes[0].has_endpoints),
            (*for_cluster, *for_local, *any),
            "{name}"
        );
    }
}

#[test]
fn hints_are_followed_only_when_all_have_them() {
    let cases: &[(&str, Option<&str>, &[&str], &str)] = &[
        ("same zone", Some("a"), &["1@x rs zone=a", "2@y rs zone=b"], "1"),
        (
            "no zone on the node",
            None,
            &["1@x rs zone=a", "2@y rs zone=b"],
            "1,2",
        ),
        (
            "no endpoint for the zone",
            Some("c"),
            &["1@x rs zone=a", "2@y rs zone=b"],
            "1,2",
        ),
        ("one without a hint", Some("a"), &["1@x rs zone=a", "2@y"], "1,2"),
        (
            "one without a hint, but not ready",
            Some("a"),
            &["1@x rs zone=a", "2@y s", "3@y rs zone=b"],
            "1",
        ),
        (
            "same node before same zone",
            Some("a"),
            &["1@here rs node=here zone=a", "2@y rs node=y zone=a"],
            "1",
        ),
        (
            "another node, same zone",
            Some("a"),
            &["1@x rs node=x zone=a", "2@y rs node=y zone=b"],
            "1",
        ),
    ];
    for (name, zone, endpoints, wanted) in cases {
        let routes = resolve(
            &service(json!({})),
            &[slice(endpoints)],
            &node(*zone),
            Family::Ipv4,
        );
        assert_eq!(used(&routes[0]).0, *wanted, "{name}");
    }
}

#[test]
fn an_address_in_two_slices_counts_once() {
    let slices = [slice(&["1@here st", "2@here"]), slice(&["1@here"])];
    let routes = resolve(&service(json!({})), &slices, &node(None), Family::Ipv4);
    assert_eq!(used(&routes[0]).0, "1,2", "the one that is not terminating wins");
    let slices = [slice(&["1@here"]), slice(&["1@here st"])];
    assert_eq!(
        used(&resolve(&service(json!({})), &slices, &node(None), Family::Ipv4)[0]).0,
        "1"
    );
}

#[test]
fn only_services_with_an_address_in_the_family_have_routes() {
    let count = |spec, family| resolve(&service(spec), &[], &node(None), family).len();
    let dual = json!({"clusterIPs": ["10.96.0.1", "fd00::1"]});
    assert_eq!(
        (count(dual.clone(), Family::Ipv4), count(dual, Family::Ipv6)),
        (1, 1)
    );
    assert_eq!(
        (count(json!({}), Family::Ipv4), count(json!({}), Family::Ipv6)),
        (1, 0)
    );
    assert_eq!(
        count(json!({"clusterIP": "None", "clusterIPs": ["None"]}), Family::Ipv4),
        0
    );
    assert_eq!(count(json!({"clusterIP": ""}), Family::Ipv4), 0);
    assert_eq!(count(json!({"type": "ExternalName"}), Family::Ipv4), 0);
}

#[test]
fn ways_in_from_outside_are_read_leniently() {
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
        "externalIPs": ["192.000.002.001", "fd00::2", "nonsense"],
        "loadBalancerSourceRanges": [" 10.1.2.3/8 ", "fd00::/8", "nonsense"],
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": null,
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}, {"hostname": "x"}]}}});
    let service = service(spec);
    let route = &resolve(&service, &[], &node(None), Family::Ipv4)[0];
    let external = route.external.as_ref().unwrap();
    assert_eq!(
        external.external_ips,
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        external.load_balancer_ips,
        ["203.0.113.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        external.source_ranges,
        ["10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()]
    );
    assert!(external.local);
    assert_eq!(route.affinity_seconds, Some(10800));
    assert_eq!(service.health_check_port(), Some(31000));
}

#[test]
fn load_balancers_are_told_ready_endpoints_here() {
    let slices = [
        slice(&["1@here", "2@here st", "3@there"]),
        slice(&["1@here", "4@here"]),
    ];
    assert_eq!(local_ready(&slices, &node(None), Family::Ipv4), 2);
    assert_eq!(local_ready(&slices, &node(None), Family::Ipv6), 0);
}
