//! Case by case; the numbers are upstream's.

use serde_json::{Value, json};

use crate::plugins::labels::{HOSTNAME, ZONE};
use crate::testing::{feasible, foo, node, on, only, pod, scores, snapshot, tainted, two_zones};

/// Pods labelled foo, so many on each node.
fn foos(counts: &[(&str, usize)]) -> Vec<Value> {
    let mut pods = Vec::new();
    for (node, count) in counts {
        for index in 0..*count {
            pods.push(on(
                node,
                pod(&format!("{node}-{index}"), &json!({ "foo": "" }), &json!({})),
            ));
        }
    }
    pods
}

fn spread(key: &str, max_skew: i64, when: &str) -> Value {
    json!({
        "maxSkew": max_skew, "topologyKey": key, "whenUnsatisfiable": when,
        "labelSelector": { "matchExpressions": [{ "key": "foo", "operator": "Exists" }] },
    })
}

#[test]
fn hard_spreading_looks_at_the_least_domain() {
    let plugin = only("PodTopologySpread", &json!({}));
    let zone = |max_skew| json!({ "topologySpreadConstraints": [spread(ZONE, max_skew, "DoNotSchedule")] });
    let both = json!({ "topologySpreadConstraints": [spread(ZONE, 1, "DoNotSchedule"), spread(HOSTNAME, 1, "DoNotSchedule")] });
    for (name, spec, existing, want) in [
        ("nothing there", zone(1), foos(&[]), &["a", "b", "x", "y"][..]),
        (
            "3 and 3",
            zone(1),
            foos(&[("a", 2), ("b", 1), ("y", 3)]),
            &["a", "b", "x", "y"],
        ),
        (
            "3 and 2",
            zone(1),
            foos(&[("a", 2), ("b", 1), ("y", 2)]),
            &["x", "y"],
        ),
        (
            "3 and 2 with room",
            zone(2),
            foos(&[("a", 2), ("b", 1), ("y", 2)]),
            &["a", "b", "x", "y"],
        ),
        (
            "zone and node",
            both.clone(),
            foos(&[("a", 2), ("b", 1), ("y", 4)]),
            &[],
        ),
        (
            "zone and node, one fits",
            both,
            foos(&[("a", 2), ("b", 1), ("x", 1), ("y", 3)]),
            &["b"],
        ),
    ] {
        assert_eq!(
            feasible(&plugin, &mut snapshot(&two_zones(), &existing), &foo(&spec)),
            want,
            "{name}"
        );
    }
}

#[test]
fn spreading_by_node_among_nodes_with_all_keys() {
    let plugin = only("PodTopologySpread", &json!({}));
    let spec = json!({ "topologySpreadConstraints": [spread(HOSTNAME, 1, "DoNotSchedule")] });
    let existing = foos(&[("a", 2), ("b", 1), ("y", 3)]);
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &foo(&spec)),
        ["x"]
    );
    // The pod does not match its own constraint: a node that is one ahead may still take it.
    let other = pod("p", &json!({ "bar": "" }), &spec);
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &other),
        ["b", "x"]
    );
    let mut bare = node("bare", "1");
    bare["metadata"]["labels"] = json!({});
    let mut nodes = two_zones();
    nodes.push(bare);
    assert_eq!(
        feasible(&plugin, &mut snapshot(&nodes, &existing), &foo(&spec)),
        ["x"],
        "a node without the key is out"
    );
}

#[test]
fn min_domains_counts_missing_domains_as_empty() {
    let plugin = only("PodTopologySpread", &json!({}));
    let mut constraint = spread(ZONE, 1, "DoNotSchedule");
    let existing = foos(&[("a", 1), ("x", 1)]);
    constraint["minDomains"] = json!(2);
    let spec = json!({ "topologySpreadConstraints": [constraint.clone()] });
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &foo(&spec)).len(),
        4
    );
    constraint["minDomains"] = json!(3);
    let spec = json!({ "topologySpreadConstraints": [constraint] });
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &foo(&spec)).len(),
        0
    );
}

#[test]
fn node_policies_say_which_nodes_take_part() {
    let plugin = only("PodTopologySpread", &json!({}));
    let mut nodes = two_zones();
    nodes.push(tainted(
        node("t", "3"),
        &json!([{ "key": "k", "effect": "NoSchedule" }]),
    ));
    // Zone 3 is empty: if its node takes part, nothing may go to the others.
    let existing = foos(&[("a", 1), ("x", 1)]);
    for (policy, want) in [("Ignore", &["t"][..]), ("Honor", &["a", "b", "t", "x", "y"])] {
        let mut constraint = spread(ZONE, 1, "DoNotSchedule");
        constraint["nodeTaintsPolicy"] = json!(policy);
        let spec = json!({ "topologySpreadConstraints": [constraint] });
        assert_eq!(
            feasible(&plugin, &mut snapshot(&nodes, &existing), &foo(&spec)),
            want,
            "taints: {policy}"
        );
    }
    for (policy, want) in [("Honor", &["a", "b", "t", "x", "y"][..]), ("Ignore", &["t"])] {
        let mut constraint = spread(ZONE, 1, "DoNotSchedule");
        constraint["nodeAffinityPolicy"] = json!(policy);
        let not_3 = json!([{ "matchExpressions": [{ "key": ZONE, "operator": "NotIn", "values": ["3"] }] }]);
        let spec = json!({
            "topologySpreadConstraints": [constraint],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": not_3 } } },
        });
        assert_eq!(
            feasible(&plugin, &mut snapshot(&nodes, &existing), &foo(&spec)),
            want,
            "affinity: {policy}"
        );
    }
}

#[test]
fn match_label_keys_narrow_a_constraint_to_one_revision() {
    let plugin = only("PodTopologySpread", &json!({}));
    let mut constraint = spread(ZONE, 1, "DoNotSchedule");
    constraint["matchLabelKeys"] = json!(["revision"]);
    let spec = json!({ "topologySpreadConstraints": [constraint] });
    let of = |name: &str, revision: &str| pod(name, &json!({ "foo": "", "revision": revision }), &spec);
    let existing = [
        on("a", of("old-1", "1")),
        on("b", of("old-2", "1")),
        on("x", of("new-1", "2")),
    ];
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &of("p", "1")),
        ["x", "y"]
    );
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &existing), &of("p", "2")),
        ["a", "b"]
    );
}

#[test]
fn soft_spreading_scores_upstreams_numbers() {
    let plugin = only("PodTopologySpread", &json!({}));
    let soft = |key: &str, max_skew| json!({ "topologySpreadConstraints": [spread(key, max_skew, "ScheduleAnyway")] });
    let nodes = two_zones();
    // This plugin weighs 1 here, so totals are the normalized scores.
    for (name, spec, existing, want) in [
        (
            "nothing there",
            soft(HOSTNAME, 1),
            foos(&[]),
            [100, 100, 100, 100],
        ),
        (
            "the same everywhere",
            soft(HOSTNAME, 1),
            foos(&[("a", 1), ("b", 1), ("x", 1), ("y", 1)]),
            [100; 4],
        ),
        (
            "2/1/0/3",
            soft(HOSTNAME, 1),
            foos(&[("a", 2), ("b", 1), ("y", 3)]),
            [20, 60, 100, 0],
        ),
        (
            "2/1/0/3, skew 2",
            soft(HOSTNAME, 2),
            foos(&[("a", 2), ("b", 1), ("y", 3)]),
            [33, 66, 100, 16],
        ),
        (
            "4/3/2/1, skew 3",
            soft(HOSTNAME, 3),
            foos(&[("a", 4), ("b", 3), ("x", 2), ("y", 1)]),
            [44, 66, 77, 100],
        ),
    ] {
        assert_eq!(
            scores(&plugin, &mut snapshot(&nodes, &existing), &foo(&spec)),
            want,
            "{name}"
        );
    }
    // By zone, with 6 and 4.
    let framework = only("PodTopologySpread", &json!({}));
    let existing = foos(&[("a", 4), ("b", 2), ("x", 1), ("y", 3)]);
    let got = scores(&framework, &mut snapshot(&nodes, &existing), &foo(&soft(ZONE, 1)));
    assert_eq!(got, [75, 75, 100, 100]);
}

#[test]
fn services_make_default_constraints() {
    let plugin = only("PodTopologySpread", &json!({}));
    let existing = foos(&[("a", 3), ("x", 1)]);
    let mut snapshot = snapshot(&two_zones(), &existing);
    assert_eq!(
        scores(&plugin, &mut snapshot, &foo(&json!({}))),
        [0, 0, 0, 0],
        "nothing is deduced"
    );
    let key = machinery::meta::ObjectKey::new("default", "s");
    snapshot
        .workloads_mut()
        .set_service(&key, Some([("foo", "")].into_iter().collect()));
    let scores = scores(&plugin, &mut snapshot, &foo(&json!({})));
    assert!(
        scores[3] > scores[2] && scores[2] > scores[1] && scores[1] > scores[0],
        "{scores:?}"
    );
}
