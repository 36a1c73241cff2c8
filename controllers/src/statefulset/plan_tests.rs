//! StatefulSets of a few pods: coming up, going down, rolling.

use super::identity::POD_NAME;
use super::plan::{Action, Claims, Observed, Plan, complete, is_news};
use crate::api::{Pod, StatefulSet};
use crate::history::REVISION_HASH;
use crate::testing::{PodBuilder, pod, stateful_set};
use jiff::Timestamp;
use machinery::meta::Istr;
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: i64 = 1_000;

struct NoClaims;

impl Claims for NoClaims {
    fn block(&self, _: i64) -> bool {
        false
    }
    fn match_policy(&self, _: &Pod) -> bool {
        true
    }
}

fn plan(set: &StatefulSet, pods: &[Arc<Pod>]) -> Plan {
    Observed {
        set,
        pods,
        current: &Istr::from("old"),
        update: &Istr::from("new"),
        claims: NoClaims,
        now: Timestamp::from_second(NOW).unwrap(),
    }
    .plan()
}

/// What is done, in order: `+1 new` creates, `-1` deletes, `~1` replaces, `m1` mends.
fn told(plan: &Plan) -> String {
    let name = |pod: &Pod| {
        pod.metadata
            .name
            .rsplit_once('-')
            .map(|(_, n)| n.to_owned())
            .unwrap_or_default()
    };
    let one = |action: &Action| match action {
        Action::Create { ordinal, updated } => format!("+{ordinal}{}", if *updated { "new" } else { "old" }),
        Action::Delete(pod) => format!("-{}", name(pod)),
        Action::Replace(pod) => format!("~{}", name(pod)),
        Action::Mend(pod) => format!("m{}", name(pod)),
        Action::MakeClaims(pod) => format!("c{}", name(pod)),
        Action::OwnClaims(pod) => format!("o{}", name(pod)),
    };
    plan.stages
        .iter()
        .flatten()
        .map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

fn member(ordinal: i64, revision: &str) -> PodBuilder {
    let name = format!("web-{ordinal}");
    pod(&name)
        .phase("Running")
        .label(POD_NAME, &name)
        .label(REVISION_HASH, revision)
}

fn ready(ordinal: i64, revision: &str) -> PodBuilder {
    member(ordinal, revision).ready_at(10)
}

fn gone(pod: PodBuilder) -> PodBuilder {
    pod.with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z")
}

fn check(set: &StatefulSet, pods: Vec<PodBuilder>, want: &str) {
    let pods: Vec<_> = pods.into_iter().map(PodBuilder::arc).collect();
    let names: Vec<_> = pods.iter().map(|pod| pod.metadata.name.to_string()).collect();
    assert_eq!(told(&plan(set, &pods)), want, "{names:?}");
}

#[test]
fn in_order_one_pod_comes_after_the_other() {
    let set = stateful_set("web", 3, |_| {});
    check(&set, vec![], "+0new");
    check(&set, vec![member(0, "new")], "");
    check(&set, vec![ready(0, "new")], "+1new");
    check(&set, vec![ready(0, "new"), gone(ready(1, "new"))], "");
    check(
        &set,
        vec![ready(0, "new"), member(1, "new").phase("Failed"), ready(2, "new")],
        "-1",
    );
    check(
        &set,
        vec![ready(0, "new"), gone(member(1, "new").phase("Succeeded"))],
        "",
    );
    check(&set, vec![ready(1, "new"), ready(2, "new")], "+0new");
    check(&set, vec![ready(0, "new"), ready(1, "new"), ready(2, "new")], "");
    let patient = stateful_set("web", 2, |spec| spec["minReadySeconds"] = 100.into());
    check(&patient, vec![member(0, "new").ready_at(NOW - 50)], "");
    check(&patient, vec![member(0, "new").ready_at(NOW - 150)], "+1new");
}

#[test]
fn in_parallel_all_come_at_once() {
    let set = stateful_set("web", 3, |spec| spec["podManagementPolicy"] = "Parallel".into());
    check(&set, vec![], "+0new +1new +2new");
    check(&set, vec![member(1, "new")], "+0new +2new");
    check(
        &set,
        vec![
            member(0, "new"),
            member(1, "new"),
            ready(2, "new"),
            ready(3, "new"),
            member(4, "new"),
        ],
        "-4 -3",
    );
}

#[test]
fn in_order_the_highest_goes_first() {
    let set = stateful_set("web", 1, |_| {});
    check(
        &set,
        vec![ready(0, "new"), ready(1, "new"), ready(2, "new")],
        "-2",
    );
    check(
        &set,
        vec![ready(0, "new"), ready(1, "new"), gone(ready(2, "new"))],
        "",
    );
    // A sick pod below holds everything up, unless it is the one to go.
    check(
        &set,
        vec![ready(0, "new"), member(1, "new"), ready(2, "new")],
        "-2",
    );
    check(
        &set,
        vec![ready(0, "new"), member(1, "new"), member(2, "new")],
        "",
    );
    check(
        &set,
        vec![ready(0, "new"), ready(1, "new"), member(2, "new")],
        "-2",
    );
    check(&set, vec![member(0, "new"), ready(1, "new")], "");
    let none = stateful_set("web", 0, |_| {});
    check(&none, vec![ready(0, "new"), ready(1, "new")], "-1");
    check(&none, vec![member(0, "new")], "-0");
}

#[test]
fn ordinals_may_start_anywhere() {
    let set = stateful_set("web", 2, |spec| spec["ordinals"] = json!({ "start": 5 }));
    check(&set, vec![], "+5new");
    check(
        &set,
        vec![ready(5, "new"), ready(6, "new"), ready(0, "new")],
        "-0",
    );
}

fn rolling(replicas: i32, rolling: Value) -> StatefulSet {
    stateful_set("web", replicas, |spec| {
        spec["updateStrategy"]["rollingUpdate"] = rolling
    })
}

#[test]
fn updates_go_from_the_highest_ordinal_down_to_the_partition() {
    let olds = || vec![ready(0, "old"), ready(1, "old"), ready(2, "old")];
    check(&rolling(3, json!({ "partition": 0 })), olds(), "~2");
    check(&rolling(3, json!({ "partition": 3 })), olds(), "");
    check(
        &rolling(3, json!({ "partition": 0, "maxUnavailable": 2 })),
        olds(),
        "~2 ~1",
    );
    check(
        &rolling(3, json!({ "partition": 0, "maxUnavailable": "10%" })),
        olds(),
        "~2",
    );
    let set = rolling(3, json!({ "partition": 1 }));
    check(
        &set,
        vec![ready(0, "old"), ready(1, "old"), ready(2, "new")],
        "~1",
    );
    check(&set, vec![ready(0, "old"), ready(1, "old"), member(2, "new")], "");
    check(&set, vec![ready(0, "old"), ready(1, "new"), ready(2, "new")], "");
    check(&set, vec![ready(1, "new"), ready(2, "new")], "+0old");
    check(&set, vec![ready(0, "old"), ready(2, "new")], "+1new");
    let on_delete = stateful_set("web", 3, |spec| {
        spec["updateStrategy"] = json!({ "type": "OnDelete" })
    });
    check(&on_delete, olds(), "");
    check(&on_delete, vec![ready(0, "old"), ready(2, "old")], "+1new");
}

#[test]
fn in_parallel_what_serves_nobody_is_replaced_for_nothing() {
    let set = stateful_set("web", 4, |spec| {
        spec["podManagementPolicy"] = "Parallel".into();
        spec["updateStrategy"]["rollingUpdate"] = json!({ "partition": 0, "maxUnavailable": 2 });
    });
    check(
        &set,
        vec![
            member(0, "old"),
            ready(1, "old"),
            ready(2, "old"),
            ready(3, "old"),
        ],
        "~0 ~3",
    );
    check(
        &set,
        vec![
            member(0, "new"),
            member(1, "new"),
            ready(2, "old"),
            ready(3, "old"),
        ],
        "",
    );
}

#[test]
fn pods_that_lost_their_label_are_mended() {
    let set = stateful_set("web", 1, |_| {});
    let bare = pod("web-0")
        .phase("Running")
        .label(REVISION_HASH, "new")
        .ready_at(10);
    check(&set, vec![bare], "m0");
}

#[test]
fn the_status_counts_and_completes() {
    let set = stateful_set("web", 3, |_| {});
    let pods: Vec<_> = [ready(0, "old"), ready(1, "new"), gone(ready(2, "old"))]
        .map(PodBuilder::arc)
        .to_vec();
    let mut status = plan(&set, &pods).status;
    assert_eq!((status.replicas, status.ready_replicas), (3, 3));
    assert_eq!((status.current_replicas, status.updated_replicas), (1, 1));
    assert_eq!(
        (&*status.current_revision, &*status.update_revision),
        ("old", "new")
    );
    complete(&set, &mut status);
    assert_eq!(status.current_revision, "old");
    let pods: Vec<_> = (0..3).map(|n| ready(n, "new").arc()).collect();
    let mut status = plan(&set, &pods).status;
    complete(&set, &mut status);
    assert_eq!((status.current_replicas, &*status.current_revision), (3, "new"));
    assert!(is_news(&set, &status));
    let mut told = set.clone();
    told.status = status.clone();
    status.collision_count = Some(0);
    assert!(!is_news(&told, &status), "the count alone is not worth a write");
}

#[test]
fn a_set_on_its_way_out_does_nothing() {
    let mut set = stateful_set("web", 3, |_| {});
    set.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    check(&set, vec![], "");
}
