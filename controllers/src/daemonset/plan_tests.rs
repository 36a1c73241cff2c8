//! DaemonSets on a few nodes, before and after a change of the template.

use super::failures::Failures;
use super::placement::Placement;
use super::plan::{Observed, Plan, by_node, manage};
use super::roll::roll;
use super::status::status;
use crate::api::{DaemonSet, DaemonSetStrategy, Node, Pod};
use crate::history::REVISION_HASH;
use crate::testing::{PodBuilder, daemon_set, node, pod};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

const NOW: i64 = 1_000;

fn nodes(count: usize) -> Vec<Arc<Node>> {
    (1..=count)
        .map(|n| Arc::new(node(&format!("n{n}")).build()))
        .collect()
}

/// A pod on a node, of the revision with this hash.
fn on(name: &str, node: &str, hash: &str) -> PodBuilder {
    pod(name)
        .node(node)
        .phase("Running")
        .label(REVISION_HASH, hash)
        .created_at(100)
}

fn rolling(max_surge: &serde_json::Value, max_unavailable: &serde_json::Value) -> DaemonSet {
    let mut set = daemon_set("ds");
    let rolling = json!({ "maxSurge": max_surge, "maxUnavailable": max_unavailable });
    set.spec.update_strategy = DaemonSetStrategy::RollingUpdate {
        rolling_update: Some(serde_json::from_value(rolling).unwrap()),
    };
    set
}

struct World {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
}

impl World {
    fn with<T>(&self, look: impl FnOnce(&Observed<'_>) -> T) -> T {
        let placement = Placement::new(&self.set.spec.template).unwrap();
        look(&Observed {
            set: &self.set,
            hash: "new",
            placement: &placement,
            nodes: &self.nodes,
            pods: &by_node(&self.pods),
            now: Timestamp::from_second(NOW).unwrap(),
        })
    }
    fn manage(&self) -> (Vec<String>, Vec<String>) {
        names(&self.with(|seen| manage(seen, &mut Failures::default(), Instant::now())))
    }
    fn roll(&self) -> (Vec<String>, Vec<String>) {
        names(&self.with(roll))
    }
}

fn names(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let mut create: Vec<_> = plan.create.iter().map(ToString::to_string).collect();
    let mut delete: Vec<_> = plan
        .delete
        .iter()
        .map(|pod| pod.metadata.name.to_string())
        .collect();
    create.sort();
    delete.sort();
    (create, delete)
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn every_node_gets_one_pod() {
    let tainted = node("n3")
        .with("/spec/taints", json!([{ "key": "x", "effect": "NoExecute" }]))
        .build();
    let mut nodes = nodes(2);
    nodes.push(Arc::new(tainted));
    let waiting = |name: &str, node: &str| {
        pod(name).with("/spec/affinity", json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }] } } }))
    };
    for (pods, create, delete) in [
        (vec![], &["n1", "n2"][..], &[][..]),
        (vec![on("a", "n1", "new"), on("b", "n2", "old")], &[], &[]),
        (
            vec![on("a", "n1", "new"), on("late", "n1", "new").created_at(200)],
            &["n2"],
            &["late"],
        ),
        (
            vec![on("a", "n1", "new"), waiting("w", "n2"), waiting("gone", "n9")],
            &[],
            &["gone"],
        ),
        (
            vec![on("a", "n1", "new"), waiting("w", "n1").created_at(1)],
            &["n2"],
            &["w"],
        ),
        (vec![on("a", "n3", "new")], &["n1", "n2"], &["a"]),
        (
            vec![
                on("a", "n1", "new").phase("Failed"),
                on("b", "n2", "new").phase("Succeeded"),
            ],
            &[],
            &["a", "b"],
        ),
        (
            vec![on("a", "n1", "new").with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z")],
            &["n2"],
            &[],
        ),
    ] {
        let pods = pods.into_iter().map(PodBuilder::arc).collect();
        let world = World {
            set: daemon_set("ds"),
            nodes: nodes.clone(),
            pods,
        };
        assert_eq!(world.manage(), (strings(create), strings(delete)));
    }
}

#[test]
fn old_pods_go_as_far_as_availability_allows() {
    let ready = |name: &str, node: &str, hash: &str| on(name, node, hash).ready_at(10);
    for (most, pods, count) in [
        (
            json!(1),
            vec![ready("a", "n1", "old"), ready("b", "n2", "old")],
            1,
        ),
        (
            json!(2),
            vec![ready("a", "n1", "old"), ready("b", "n2", "old")],
            2,
        ),
        (
            json!("50%"),
            vec![ready("a", "n1", "old"), ready("b", "n2", "old")],
            1,
        ),
        // A new pod that is not available yet, and a node that has none, count.
        (json!(1), vec![on("a", "n1", "new"), ready("b", "n2", "old")], 0),
        (json!(1), vec![ready("b", "n2", "old")], 0),
        (
            json!(1),
            vec![ready("a", "n1", "new"), ready("b", "n2", "old")],
            1,
        ),
        // Nobody misses one that is not available.
        (json!(1), vec![on("a", "n1", "old"), ready("b", "n2", "old")], 1),
        (
            json!(0),
            vec![ready("a", "n1", "old"), ready("b", "n2", "old")],
            1,
        ),
        (
            json!(2),
            vec![ready("a", "n1", "new"), ready("b", "n2", "new")],
            0,
        ),
    ] {
        let world = World {
            set: rolling(&json!(0), &most),
            nodes: nodes(2),
            pods: pods.into_iter().map(PodBuilder::arc).collect(),
        };
        let (create, delete) = world.roll();
        assert_eq!((create.len(), delete.len()), (0, count), "{delete:?}");
    }
}

#[test]
fn surging_creates_before_it_deletes() {
    let ready = |name: &str, node: &str, hash: &str| on(name, node, hash).ready_at(10);
    let world = |pods: Vec<PodBuilder>| World {
        set: rolling(&json!(1), &json!(0)),
        nodes: nodes(2),
        pods: pods.into_iter().map(PodBuilder::arc).collect(),
    };
    let start = world(vec![ready("a", "n1", "old"), ready("b", "n2", "old")]);
    assert_eq!(start.roll().0.len(), 1);
    assert!(start.manage().0.is_empty());
    let surged = world(vec![
        ready("a", "n1", "old"),
        on("a2", "n1", "new").created_at(200),
        ready("b", "n2", "old"),
    ]);
    assert_eq!(surged.roll(), (vec![], vec![]));
    assert_eq!(surged.manage(), (vec![], vec![]));
    let available = world(vec![
        ready("a", "n1", "old"),
        ready("a2", "n1", "new").created_at(200),
        ready("b", "n2", "old"),
    ]);
    assert_eq!(available.manage(), (vec![], strings(&["a"])));
    assert_eq!(
        available.roll(),
        (strings(&["n2"]), strings(&["a"])),
        "room for the next"
    );
    let broken = world(vec![on("a", "n1", "old"), ready("b", "n2", "new")]);
    assert_eq!(
        broken.roll().0,
        strings(&["n1"]),
        "what serves nobody needs no room"
    );
    let lost = world(vec![
        on("a", "n1", "old"),
        on("a2", "n1", "new").created_at(200),
        ready("b", "n2", "new"),
    ]);
    assert_eq!(lost.manage().1, strings(&["a"]));
}

#[test]
fn pods_on_nodes_that_are_no_longer_wanted_wait_for_others() {
    let ready = |name: &str, node: &str, hash: &str| on(name, node, hash).ready_at(10);
    let mut world = World {
        set: rolling(&json!(1), &json!(0)),
        nodes: nodes(2),
        pods: vec![ready("a", "n1", "old").arc()],
    };
    let raw = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"nodeSelector":{"zone":"b"},"containers":[]}}"#;
    world.set.spec.template = serde_json::from_str(raw).unwrap();
    world.nodes[1] = Arc::new(node("n2").label("zone", "b").build());
    assert_eq!(
        world.roll(),
        (vec![], vec![]),
        "nothing else is available, and nothing else to do"
    );
    world.pods.push(ready("b", "n2", "new").arc());
    assert_eq!(world.roll(), (vec![], strings(&["a"])));
}

#[test]
fn the_status_counts_nodes() {
    let tainted = node("n4")
        .with("/spec/taints", json!([{ "key": "x", "effect": "NoSchedule" }]))
        .build();
    let mut all = nodes(3);
    all.push(Arc::new(tainted));
    let mut set = daemon_set("ds");
    set.spec.min_ready_seconds = 100;
    set.status.observed_generation = 0;
    let world = World {
        set,
        nodes: all,
        pods: vec![
            on("a", "n1", "new").ready_at(NOW - 200).arc(),
            on("b", "n2", "old").ready_at(NOW - 20).arc(),
            on("d", "n4", "old").arc(),
        ],
    };
    let told = world.with(|seen| status(seen, true));
    assert_eq!(
        (
            told.desired_number_scheduled,
            told.current_number_scheduled,
            told.number_misscheduled
        ),
        (3, 2, 1)
    );
    assert_eq!(
        (told.number_ready, told.number_available, told.number_unavailable),
        (2, 1, 2)
    );
    assert_eq!((told.updated_number_scheduled, told.observed_generation), (1, 1));
    assert_eq!(world.with(|seen| status(seen, false)).observed_generation, 0);
}
