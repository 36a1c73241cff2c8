use super::*;
use crate::testing::{PodBuilder, pod, service};
use serde_json::json;

fn at(name: &str, ip: &str) -> PodBuilder {
    pod(name)
        .node("n1")
        .phase("Running")
        .with("/status/podIPs", json!([{ "ip": ip }]))
}

fn ready(n: usize) -> Arc<Pod> {
    at(&format!("p{n}"), &format!("10.0.{}.{}", n / 250, n % 250 + 1))
        .ready_at(10)
        .arc()
}

fn zones(node: &str) -> NodeZone {
    if node == "gone" {
        NodeZone::Unknown
    } else {
        NodeZone::Known(Some("z1".into()))
    }
}

/// As the API server would hand them out.
fn stored(plan: &Plan, existing: &[Arc<EndpointSlice>]) -> Vec<Arc<EndpointSlice>> {
    let mut slices: Vec<_> = existing
        .iter()
        .filter(|slice| {
            !plan
                .delete
                .iter()
                .any(|gone| gone.metadata.name == slice.metadata.name)
        })
        .cloned()
        .collect();
    for slice in &plan.update {
        let held = slices
            .iter_mut()
            .find(|held| held.metadata.name == slice.metadata.name)
            .unwrap();
        *held = Arc::new(slice.clone());
    }
    for (n, slice) in plan.create.iter().enumerate() {
        let mut slice = slice.clone();
        slice.metadata.name = format!("s{}", existing.len() + n).into();
        slices.push(Arc::new(slice));
    }
    slices
}

fn is_quiet(plan: &Plan) -> bool {
    plan.create.is_empty() && plan.update.is_empty() && plan.delete.is_empty()
}

#[test]
fn endpoints_show_what_is_known_about_their_pods() {
    let web = service("web", |_| {});
    let pods = [
        ready(1),
        at("waiting", "10.0.0.9").arc(),
        at("going", "10.0.0.8")
            .ready_at(1)
            .with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z")
            .arc(),
    ];
    let plan = plan(&web, &pods, zones, &[], 100);
    let [slice] = plan.create.as_slice() else {
        panic!("{plan:?}")
    };
    let json = serde_json::to_value(slice).unwrap();
    assert_eq!(json["metadata"]["generateName"], "web-");
    assert_eq!(
        json["metadata"]["labels"],
        json!({ "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" })
    );
    assert_eq!(
        json["ports"],
        json!([{ "name": "", "protocol": "TCP", "port": 8080 }])
    );
    let by_ip = |ip: &str| {
        json["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .find(|e| e["addresses"][0] == ip)
            .unwrap()
            .clone()
    };
    assert_eq!(
        by_ip("10.0.0.2"),
        json!({ "addresses": ["10.0.0.2"], "conditions": { "ready": true, "serving": true, "terminating": false }, "nodeName": "n1", "zone": "z1",
                "targetRef": { "kind": "Pod", "namespace": "default", "name": "p1", "uid": "uid-p1" } })
    );
    assert_eq!(
        by_ip("10.0.0.9")["conditions"],
        json!({ "ready": false, "serving": false, "terminating": false })
    );
    assert_eq!(
        by_ip("10.0.0.8")["conditions"],
        json!({ "ready": false, "serving": true, "terminating": true })
    );
}

#[test]
fn what_is_right_is_left_alone() {
    let web = service("web", |_| {});
    let pods: Vec<_> = (0..250).map(ready).collect();
    let first = plan(&web, &pods, zones, &[], 100);
    assert_eq!(
        first
            .create
            .iter()
            .map(|slice| slice.endpoints.len())
            .collect::<Vec<_>>(),
        [100, 100, 50]
    );
    let slices = stored(&first, &[]);
    assert!(is_quiet(&plan(&web, &pods, zones, &slices, 100)));
    // Upstream orders ports and endpoints in its own way.
    let shuffled: Vec<_> = slices
        .iter()
        .map(|slice| {
            let mut slice = EndpointSlice::clone(slice);
            slice.endpoints.reverse();
            Arc::new(slice)
        })
        .collect();
    assert!(is_quiet(&plan(&web, &pods, zones, &shuffled, 100)));
}

#[test]
fn changes_touch_as_few_slices_as_can_be() {
    let web = service("web", |_| {});
    let pods: Vec<_> = (0..250).map(ready).collect();
    let slices = stored(&plan(&web, &pods, zones, &[], 100), &[]);
    // One more fits into the slice that has room.
    let more: Vec<_> = (0..251).map(ready).collect();
    let added = plan(&web, &more, zones, &slices, 100);
    assert_eq!(
        (added.create.len(), added.update.len(), added.delete.len()),
        (0, 1, 0)
    );
    // One is replaced by another: the changed slice takes it.
    let mut replaced = pods.clone();
    replaced[3] = ready(700);
    let swapped = plan(&web, &replaced, zones, &slices, 100);
    assert_eq!(
        (swapped.create.len(), swapped.update.len(), swapped.delete.len()),
        (0, 1, 0)
    );
    assert_eq!(
        swapped.update[0].endpoints.len(),
        swapped.update[0].endpoints.len().max(50)
    );
    // A slice that loses all endpoints goes.
    let last: Vec<_> = slices
        .iter()
        .flat_map(|slice| {
            slice
                .endpoints
                .iter()
                .take(if slice.endpoints.len() == 50 { 0 } else { 100 })
        })
        .collect();
    let kept: Vec<_> = pods
        .iter()
        .filter(|pod| {
            last.iter()
                .any(|e| e.target_ref.as_ref().unwrap().name == pod.metadata.name)
        })
        .cloned()
        .collect();
    let fewer = plan(&web, &kept, zones, &slices, 100);
    assert_eq!(
        (fewer.create.len(), fewer.update.len(), fewer.delete.len()),
        (0, 0, 1)
    );
}

#[test]
fn a_service_without_endpoints_keeps_one_empty_slice() {
    let web = service("web", |_| {});
    let none = plan(&web, &[], zones, &[], 100);
    assert_eq!(none.create.len(), 1);
    let empty = stored(&none, &[]);
    assert!(is_quiet(&plan(&web, &[], zones, &empty, 100)));
    let some = plan(&web, &[ready(1)], zones, &empty, 100);
    assert_eq!(
        (some.create.len(), some.update.len(), some.delete.len()),
        (0, 1, 0),
        "the empty slice is rewritten"
    );
    let slices = stored(&some, &empty);
    let gone = plan(&web, &[], zones, &slices, 100);
    assert_eq!(
        (gone.create.len(), gone.update.len(), gone.delete.len()),
        (0, 1, 0)
    );
    assert!(gone.update[0].endpoints.is_empty() && gone.update[0].ports.is_empty());
}

#[test]
fn each_family_has_its_slices() {
    let dual = service("web", |spec| spec["ipFamilies"] = json!(["IPv4", "IPv6"]));
    let pods = [at("a", "10.0.0.1")
        .with(
            "/status/podIPs",
            json!([{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }]),
        )
        .ready_at(1)
        .arc()];
    let both = plan(&dual, &pods, zones, &[], 100);
    let mut types: Vec<_> = both
        .create
        .iter()
        .map(|slice| {
            (
                slice.address_type.to_string(),
                slice.endpoints[0].addresses[0].to_string(),
            )
        })
        .collect();
    types.sort();
    assert_eq!(
        types,
        [
            ("IPv4".into(), "10.0.0.1".into()),
            ("IPv6".into(), "fd00::1".to_string())
        ]
    );
    let slices = stored(&both, &[]);
    let single = service("web", |_| {});
    let plan = plan(&single, &pods, zones, &slices, 100);
    assert_eq!(
        (plan.create.len(), plan.update.len(), plan.delete.len()),
        (0, 0, 1)
    );
    assert_eq!(plan.delete[0].address_type, "IPv6");
}

#[test]
fn ports_by_name_split_slices() {
    let web =
        service(
            "web",
            |spec| {
                spec["ports"] =
                    json!([{ "name": "http", "protocol": "TCP", "port": 80, "targetPort": "web" }])
            },
        );
    let with_port = |name: &str, ip: &str, port: i32| {
        at(name, ip)
            .ready_at(1)
            .with(
                "/spec/containers",
                json!([{ "ports": [{ "name": "web", "containerPort": port, "protocol": "TCP" }] }]),
            )
            .arc()
    };
    let pods = [
        with_port("a", "10.0.0.1", 80),
        with_port("b", "10.0.0.2", 81),
        at("c", "10.0.0.3").ready_at(1).arc(),
    ];
    let plan = plan(&web, &pods, zones, &[], 100);
    let mut ports: Vec<_> = plan
        .create
        .iter()
        .map(|slice| slice.ports.first().and_then(|port| port.port))
        .collect();
    ports.sort();
    assert_eq!(ports, [None, Some(80), Some(81)]);
}

#[test]
fn headless_services_and_pods_with_host_names() {
    let db = service("db", |spec| {
        spec["clusterIP"] = "None".into();
        spec["ports"] = json!([]);
        spec["publishNotReadyAddresses"] = true.into();
    });
    let pods = [at("db-0", "10.0.0.1")
        .with("/spec/hostname", "db-0")
        .with("/spec/subdomain", "db")
        .node("gone")
        .arc()];
    let plan = plan(&db, &pods, zones, &[], 100);
    let slice = &plan.create[0];
    assert_eq!(slice.metadata.labels.get(HEADLESS), Some(""));
    assert_eq!(slice.endpoints[0].hostname.as_deref(), Some("db-0"));
    assert_eq!(slice.endpoints[0].conditions.ready, Some(true));
    assert!(plan.unknown_nodes.is_empty());
}

#[test]
fn pods_on_unknown_nodes_wait() {
    let plan = plan(
        &service("web", |_| {}),
        &[at("a", "10.0.0.1").node("gone").ready_at(1).arc()],
        zones,
        &[],
        100,
    );
    assert_eq!(plan.unknown_nodes, [("a".into(), "gone".into())]);
    assert!(plan.create[0].endpoints.is_empty());
}

#[test]
fn hints_follow_the_traffic_distribution() {
    let pods = [ready(1), at("waiting", "10.0.0.9").arc()];
    let plain = stored(&plan(&service("web", |_| {}), &pods, zones, &[], 100), &[]);
    let close = service("web", |spec| {
        spec["trafficDistribution"] = "PreferSameNode".into()
    });
    let hinted = plan(&close, &pods, zones, &plain, 100);
    let slices = stored(&hinted, &plain);
    let hints: Vec<_> = slices[0]
        .endpoints
        .iter()
        .map(|e| serde_json::to_value(&e.hints).unwrap())
        .collect();
    assert!(
        hints.contains(&json!({ "forZones": [{ "name": "z1" }], "forNodes": [{ "name": "n1" }] }))
            && hints.contains(&json!(null))
    );
    assert!(is_quiet(&plan(&close, &pods, zones, &slices, 100)));
    assert_eq!(
        plan(&service("web", |_| {}), &pods, zones, &slices, 100)
            .update
            .len(),
        1
    );
}

#[test]
fn labels_of_the_service_are_on_its_slices() {
    let pods = [ready(1)];
    let mut web = service("web", |_| {});
    let slices = stored(&plan(&web, &pods, zones, &[], 100), &[]);
    web.metadata.labels = [("team", "x"), (MANAGED_BY, "me")].into_iter().collect();
    let plan = plan(&web, &pods, zones, &slices, 100);
    assert_eq!(plan.update[0].metadata.labels.get("team"), Some("x"));
    assert_eq!(plan.update[0].metadata.labels.get(MANAGED_BY), Some(MANAGER));
}
