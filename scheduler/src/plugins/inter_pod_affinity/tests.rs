//! Case by case.

use serde_json::{Value, json};

use crate::plugins::labels::{HOSTNAME, ZONE};
use crate::testing::{feasible, on, only, pod, scores, snapshot, two_zones};

fn term(app: &str, key: &str) -> Value {
    json!({ "labelSelector": { "matchLabels": { "app": app } }, "topologyKey": key })
}

fn required(kind: &str, terms: &Value) -> Value {
    json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": terms } } })
}

fn app(name: &str, app: &str, spec: &Value) -> Value {
    pod(name, &json!({ "app": app }), spec)
}

#[test]
fn required_affinity_needs_one_pod_that_matches_all_terms() {
    let plugin = only("InterPodAffinity", &json!({}));
    let web = on("a", app("web", "web", &json!({})));
    let near_web = required("podAffinity", &json!([term("web", ZONE)]));
    let two = required("podAffinity", &json!([term("web", ZONE), term("web", HOSTNAME)]));
    let other = required("podAffinity", &json!([term("db", ZONE)]));
    let itself = required("podAffinity", &json!([term("me", ZONE)]));
    for (name, spec, existing, want) in [
        ("in the zone of it", &near_web, vec![web.clone()], &["a", "b"][..]),
        ("in zone and on node of it", &two, vec![web.clone()], &["a"]),
        ("nobody matches", &other, vec![web.clone()], &[]),
        ("the first of its kind", &itself, vec![web], &["a", "b", "x", "y"]),
        (
            "the second of its kind",
            &itself,
            vec![on("y", app("me-0", "me", &json!({})))],
            &["x", "y"],
        ),
    ] {
        assert_eq!(
            feasible(
                &plugin,
                &mut snapshot(&two_zones(), &existing),
                &app("p", "me", spec)
            ),
            want,
            "{name}"
        );
    }
}

#[test]
fn anti_affinity_works_both_ways() {
    let plugin = only("InterPodAffinity", &json!({}));
    let not_web = required("podAntiAffinity", &json!([term("web", ZONE)]));
    let not_me = required("podAntiAffinity", &json!([term("me", HOSTNAME)]));
    let web = on("a", app("web", "web", &json!({})));
    let hater = on("x", app("hater", "hater", &not_me));
    assert_eq!(
        feasible(
            &plugin,
            &mut snapshot(&two_zones(), &[web]),
            &app("p", "me", &not_web)
        ),
        ["x", "y"]
    );
    assert_eq!(
        feasible(
            &plugin,
            &mut snapshot(&two_zones(), std::slice::from_ref(&hater)),
            &app("p", "me", &json!({}))
        ),
        ["a", "b", "y"],
        "a pod that is there keeps it away"
    );
    let mut elsewhere = app("p", "me", &json!({}));
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(
        feasible(&plugin, &mut snapshot(&two_zones(), &[hater]), &elsewhere).len(),
        4,
        "another namespace's pod"
    );
}

#[test]
fn namespaces_are_named_or_selected() {
    let plugin = only("InterPodAffinity", &json!({}));
    let mut web = on("a", app("web", "web", &json!({})));
    web["metadata"]["namespace"] = json!("team-1");
    let with = |fields: Value| {
        let mut term = term("web", ZONE);
        machinery::component::config::merge(&mut term, fields);
        app("p", "me", &required("podAntiAffinity", &json!([term])))
    };
    let mut snapshot = snapshot(&two_zones(), &[web]);
    snapshot.set_namespace(&"team-1".into(), Some([("team", "one")].into_iter().collect()));
    for (fields, want) in [
        (json!({}), 4),
        (json!({ "namespaces": ["team-1"] }), 2),
        (json!({ "namespaceSelector": {} }), 2),
        (
            json!({ "namespaceSelector": { "matchLabels": { "team": "one" } } }),
            2,
        ),
        (
            json!({ "namespaceSelector": { "matchLabels": { "team": "two" } } }),
            4,
        ),
    ] {
        assert_eq!(
            feasible(&plugin, &mut snapshot, &with(fields.clone())).len(),
            want,
            "{fields}"
        );
    }
    // A count that is held follows the namespace's labels.
    let selecting = with(json!({ "namespaceSelector": { "matchLabels": { "team": "two" } } }));
    assert_eq!(feasible(&plugin, &mut snapshot, &selecting).len(), 4);
    snapshot.set_namespace(&"team-1".into(), Some([("team", "two")].into_iter().collect()));
    assert_eq!(feasible(&plugin, &mut snapshot, &selecting).len(), 2);
}

#[test]
fn preferences_pull_and_push() {
    let plugin = only("InterPodAffinity", &json!({}));
    let prefers = |kind: &str, weight: i64, app: &str, key: &str| {
        json!({ "affinity": { kind: { "preferredDuringSchedulingIgnoredDuringExecution":
            [{ "weight": weight, "podAffinityTerm": term(app, key) }] } } })
    };
    let web = |node: &str| on(node, app(&format!("web-{node}"), "web", &json!({})));
    let cases = [
        (
            "near web by zone",
            app("p", "me", &prefers("podAffinity", 5, "web", ZONE)),
            vec![web("a")],
            [100, 100, 0, 0],
        ),
        (
            "near web by node",
            app("p", "me", &prefers("podAffinity", 5, "web", HOSTNAME)),
            vec![web("a"), web("x")],
            [100, 0, 100, 0],
        ),
        (
            "away from web",
            app("p", "me", &prefers("podAntiAffinity", 5, "web", ZONE)),
            vec![web("a")],
            [0, 0, 100, 100],
        ),
        (
            "somebody wants it near",
            app("p", "me", &json!({})),
            vec![on(
                "b",
                app("fan", "fan", &prefers("podAffinity", 3, "me", HOSTNAME)),
            )],
            [0, 100, 0, 0],
        ),
        (
            "somebody needs its like near",
            app("p", "me", &json!({})),
            vec![on(
                "x",
                app("fan", "fan", &required("podAffinity", &json!([term("me", ZONE)]))),
            )],
            [0, 0, 100, 100],
        ),
        (
            "nobody cares",
            app("p", "me", &json!({})),
            vec![web("a")],
            [0, 0, 0, 0],
        ),
    ];
    for (name, incoming, existing, want) in cases {
        assert_eq!(
            scores(&plugin, &mut snapshot(&two_zones(), &existing), &incoming),
            want,
            "{name}"
        );
    }
}
