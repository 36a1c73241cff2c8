//! What plugins let through and how they score, case by case; the cases are upstream's where it has some.

use serde_json::{Value, json};

use crate::plugins::labels::ZONE;
use crate::testing::{asking, feasible, foo, node, on, only, pod, scores, snapshot, tainted};

fn labelled(mut node: Value, key: &str, value: &str) -> Value {
    node["metadata"]["labels"][key] = json!(value);
    node
}

#[test]
fn taints_keep_pods_away_unless_tolerated() {
    let plugin = only("TaintToleration", &json!({}));
    let taint = |effect: &str| json!([{ "key": "dedicated", "value": "user1", "effect": effect }]);
    let nodes = [
        node("plain", "1"),
        tainted(node("hard", "1"), &taint("NoSchedule")),
        tainted(node("evicting", "1"), &taint("NoExecute")),
        tainted(node("soft", "1"), &taint("PreferNoSchedule")),
    ];
    let toleration = |fields: Value| json!({ "tolerations": [fields] });
    for (spec, want) in [
        (json!({}), &["plain", "soft"][..]),
        (
            toleration(json!({ "key": "dedicated", "value": "user1", "effect": "NoSchedule" })),
            &["hard", "plain", "soft"],
        ),
        (
            toleration(json!({ "key": "dedicated", "operator": "Exists" })),
            &["evicting", "hard", "plain", "soft"],
        ),
        (
            toleration(json!({ "key": "dedicated", "value": "user2" })),
            &["plain", "soft"],
        ),
    ] {
        assert_eq!(
            feasible(&plugin, &mut snapshot(&nodes, &[]), &foo(&spec)),
            want,
            "{spec}"
        );
    }
    // Weight 1: fewer soft taints that are not tolerated are better.
    assert_eq!(
        scores(&plugin, &mut snapshot(&nodes, &[]), &foo(&json!({}))),
        [100, 0]
    );
}

#[test]
fn node_affinity_is_required_and_preferred() {
    let plugin = only("NodeAffinity", &json!({}));
    let nodes = [
        labelled(node("a", "1"), "disk", "ssd"),
        labelled(node("b", "2"), "disk", "hdd"),
        labelled(node("c", "2"), "cores", "16"),
    ];
    let required = |terms: Value| json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } });
    let expression = |key: &str, operator: &str, values: Value| json!({ "key": key, "operator": operator, "values": values });
    for (spec, want) in [
        (json!({ "nodeSelector": { "disk": "ssd" } }), &["a"][..]),
        (
            required(json!([{ "matchExpressions": [expression("disk", "Exists", json!([]))] }])),
            &["a", "b"],
        ),
        (
            required(json!([{ "matchExpressions": [expression("disk", "NotIn", json!(["ssd"]))] }])),
            &["b", "c"],
        ),
        (
            required(json!([{ "matchExpressions": [expression("cores", "Gt", json!(["8"]))] }])),
            &["c"],
        ),
        (
            required(json!([
                { "matchExpressions": [expression("disk", "In", json!(["ssd"])), expression(ZONE, "In", json!(["2"]))] },
                { "matchFields": [expression("metadata.name", "In", json!(["c"]))] },
            ])),
            &["c"],
        ),
        (
            required(json!([{ "matchFields": [expression("metadata.name", "In", json!(["b", "none"]))] }])),
            &["b"],
        ),
        (required(json!([])), &[]),
        (required(json!([{}])), &[]),
    ] {
        assert_eq!(
            feasible(&plugin, &mut snapshot(&nodes, &[]), &foo(&spec)),
            want,
            "{spec}"
        );
    }
    let prefers = |weight: i64, key: &str, value: &str| json!({ "weight": weight, "preference": { "matchExpressions": [expression(key, "In", json!([value]))] } });
    let spec = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
        [prefers(2, "disk", "ssd"), prefers(4, ZONE, "2"), prefers(4, "disk", "hdd")] } } });
    assert_eq!(
        scores(&plugin, &mut snapshot(&nodes, &[]), &foo(&spec)),
        [25, 100, 50]
    );
}

#[test]
fn host_ports_clash_by_protocol_and_address() {
    let plugin = only("NodePorts", &json!({}));
    let port = |port: i64, protocol: &str, ip: &str| json!({ "containers": [{ "name": "c", "ports": [{ "hostPort": port, "protocol": protocol, "hostIP": ip }] }] });
    let held = on("a", pod("held", &json!({}), &port(80, "TCP", "127.0.0.1")));
    for (spec, fits) in [
        (port(80, "TCP", "127.0.0.1"), false),
        (port(80, "TCP", ""), false),
        (port(80, "TCP", "127.0.0.2"), true),
        (port(80, "UDP", "127.0.0.1"), true),
        (port(81, "TCP", "127.0.0.1"), true),
        (json!({}), true),
    ] {
        let mut snapshot = snapshot(&[node("a", "1")], std::slice::from_ref(&held));
        assert_eq!(
            feasible(&plugin, &mut snapshot, &foo(&spec)).len(),
            usize::from(fits),
            "{spec}"
        );
    }
}

#[test]
fn a_node_must_have_what_is_asked_for() {
    let plugin = only("NodeResourcesFit", &json!({}));
    let mut small = node("small", "1");
    small["status"]["allocatable"] =
        json!({ "cpu": "1", "memory": "1Gi", "pods": "1", "example.com/gpu": "2" });
    let nodes = [node("big", "1"), small];
    let gpu =
        json!({ "containers": [{ "name": "c", "resources": { "requests": { "example.com/gpu": "2" } } }] });
    for (incoming, existing, want) in [
        (asking("p", "1", "1Gi"), vec![], &["big", "small"][..]),
        (asking("p", "2", "1Gi"), vec![], &["big"]),
        (
            asking("p", "100m", "1Gi"),
            vec![on("big", asking("q", "3950m", "1Gi"))],
            &["small"],
        ),
        (
            foo(&json!({})),
            vec![on("small", asking("q", "0", "0"))],
            &["big"],
        ),
        (foo(&gpu), vec![], &["small"]),
        (foo(&gpu), vec![on("small", pod("q", &json!({}), &gpu))], &[]),
    ] {
        assert_eq!(
            feasible(&plugin, &mut snapshot(&nodes, &existing), &incoming),
            want,
            "{incoming}"
        );
    }
}

#[test]
fn ignored_extended_resources_are_not_looked_at() {
    let gpu =
        json!({ "containers": [{ "name": "c", "resources": { "requests": { "example.com/gpu": "2" } } }] });
    for (args, fits) in [
        (json!({ "ignoredResources": ["example.com/gpu"] }), true),
        (json!({ "ignoredResourceGroups": ["example.com"] }), true),
        (json!({ "ignoredResources": ["example.com/other"] }), false),
    ] {
        let mut snapshot = snapshot(&[node("a", "1")], &[]);
        assert_eq!(
            !feasible(&only("NodeResourcesFit", &args), &mut snapshot, &foo(&gpu)).is_empty(),
            fits,
            "{args}"
        );
    }
}

#[test]
fn resource_scores_are_upstreams() {
    let sized = |name: &str, cpu: &str, memory: &str| {
        let mut node = node(name, "1");
        node["status"]["allocatable"] = json!({ "cpu": cpu, "memory": memory, "pods": "110" });
        node
    };
    // From upstream's tables: 3000m and 5000 bytes asked of (4000, 10000) and (6000, 10000), with nothing there.
    let nodes = [sized("a", "4", "10000"), sized("b", "6", "10000")];
    let incoming = asking("p", "3", "5000");
    let least = only("NodeResourcesFit", &json!({}));
    assert_eq!(scores(&least, &mut snapshot(&nodes, &[]), &incoming), [37, 50]);
    let most = only(
        "NodeResourcesFit",
        &json!({ "scoringStrategy": { "type": "MostAllocated" } }),
    );
    assert_eq!(scores(&most, &mut snapshot(&nodes, &[]), &incoming), [62, 50]);
    // The balance before was perfect on both, as nothing was there.
    let balanced = only("NodeResourcesBalancedAllocation", &json!({}));
    assert_eq!(scores(&balanced, &mut snapshot(&nodes, &[]), &incoming), [68, 75]);
    assert_eq!(
        scores(&balanced, &mut snapshot(&nodes, &[]), &foo(&json!({}))),
        [0, 0],
        "asks for nothing: not scored"
    );
}

#[test]
fn images_that_are_there_count_by_size_and_spread() {
    let plugin = only("ImageLocality", &json!({}));
    let with = |name: &str, images: Value| {
        let mut node = node(name, "1");
        node["status"]["images"] = images;
        node
    };
    let image = |name: &str, mib: i64| json!({ "names": [name], "sizeBytes": mib * 1024 * 1024 });
    let nodes = [
        with("a", json!([image("r/40:latest", 40), image("r/140:v1", 140)])),
        with("b", json!([image("r/250:latest", 250)])),
    ];
    let spec = json!({ "containers": [{ "name": "c", "image": "r/40" }, { "name": "d", "image": "r/250" }] });
    // a: 40 MiB on half the nodes is 20 MiB, below the least; b: (125 - 23) of (2000 - 23).
    assert_eq!(scores(&plugin, &mut snapshot(&nodes, &[]), &foo(&spec)), [0, 5]);
}

#[test]
fn cordoned_nodes_take_only_who_tolerates_it() {
    let plugin = only("NodeUnschedulable", &json!({}));
    let mut cordoned = node("c", "1");
    cordoned["spec"] = json!({ "unschedulable": true });
    let nodes = [node("a", "1"), cordoned];
    assert_eq!(
        feasible(&plugin, &mut snapshot(&nodes, &[]), &foo(&json!({}))),
        ["a"]
    );
    let tolerates =
        json!({ "tolerations": [{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }] });
    assert_eq!(
        feasible(&plugin, &mut snapshot(&nodes, &[]), &foo(&tolerates)),
        ["a", "c"]
    );
}
