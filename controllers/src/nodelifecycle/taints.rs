//! The taints that follow from a node's conditions.

use crate::api::{ConditionStatus, Node};
use machinery::arith::{Taint, TaintEffect};
use machinery::meta::Time;

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, status, and the key of the taint that it brings.
const BY_CONDITION: [(&str, ConditionStatus, &str); 6] = [
    ("Ready", ConditionStatus::False, NOT_READY),
    ("Ready", ConditionStatus::Unknown, UNREACHABLE),
    (
        "MemoryPressure",
        ConditionStatus::True,
        "node.kubernetes.io/memory-pressure",
    ),
    (
        "DiskPressure",
        ConditionStatus::True,
        "node.kubernetes.io/disk-pressure",
    ),
    (
        "NetworkUnavailable",
        ConditionStatus::True,
        "node.kubernetes.io/network-unavailable",
    ),
    (
        "PIDPressure",
        ConditionStatus::True,
        "node.kubernetes.io/pid-pressure",
    ),
];

/// What becomes of the pods on a node that is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// It is the node's turn: taint it.
    Allowed,
    /// Not yet; a taint that is there stays.
    Later,
    /// No node is ready, so it may be us who are cut off: take the taint away.
    Suspended,
}

/// The key of the `NoExecute` taint that a node's readiness calls for; `None` for a ready node, and for one that says nothing.
pub fn no_execute(node: &Node) -> Option<&'static str> {
    match node.condition("Ready")?.status {
        ConditionStatus::True => None,
        ConditionStatus::False => Some(NOT_READY),
        ConditionStatus::Unknown => Some(UNREACHABLE),
    }
}

fn is_ours(taint: &Taint) -> bool {
    let by_condition = || BY_CONDITION.iter().any(|(_, _, key)| *key == &*taint.key);
    match taint.effect {
        TaintEffect::NoSchedule => *taint.key == *UNSCHEDULABLE || by_condition(),
        TaintEffect::NoExecute => *taint.key == *NOT_READY || *taint.key == *UNREACHABLE,
        TaintEffect::PreferNoSchedule => false,
    }
}

/// Whether the node has the `NoExecute` taint of either kind.
pub fn is_evicting(node: &Node) -> bool {
    node.spec
        .taints
        .iter()
        .any(|taint| taint.effect == TaintEffect::NoExecute && is_ours(taint))
}

/// All taints that the node should have, if those differ from what it has. Taints of others are kept.
pub fn wanted(node: &Node, eviction: Eviction, now: Time) -> Option<Vec<Taint>> {
    let mut ours: Vec<(&str, TaintEffect)> = BY_CONDITION
        .iter()
        .filter(|(kind, status, _)| {
            node.condition(kind)
                .is_some_and(|condition| condition.status == *status)
        })
        .map(|(_, _, key)| (*key, TaintEffect::NoSchedule))
        .collect();
    if node.spec.unschedulable {
        ours.push((UNSCHEDULABLE, TaintEffect::NoSchedule));
    }
    let silent = node.condition("Ready").is_none();
    match (no_execute(node), eviction) {
        // A node that has one of the two taints gets the other at once: its pods are on their way already.
        (Some(key), Eviction::Allowed) => ours.push((key, TaintEffect::NoExecute)),
        (Some(key), Eviction::Later) if is_evicting(node) => ours.push((key, TaintEffect::NoExecute)),
        _ => {}
    }
    let keep = |taint: &&Taint| {
        let stays = silent && taint.effect == TaintEffect::NoExecute;
        !is_ours(taint) || stays || ours.contains(&(&*taint.key, taint.effect))
    };
    let held = &node.spec.taints;
    let mut taints: Vec<Taint> = held.iter().filter(keep).cloned().collect();
    for (key, effect) in &ours {
        if !held
            .iter()
            .any(|taint| *taint.key == **key && taint.effect == *effect)
        {
            taints.push(Taint {
                key: (*key).into(),
                value: "".into(),
                effect: *effect,
                time_added: Some(now),
            });
        }
    }
    (taints != *held).then_some(taints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use serde_json::json;

    fn wants(ready: &str, held: &[&str], eviction: Eviction) -> Option<Vec<String>> {
        let taint = |text: &&str| {
            let (key, effect) = text.split_once(':').unwrap();
            json!({ "key": key, "effect": effect })
        };
        let conditions = if ready.is_empty() {
            json!([])
        } else {
            json!([{ "type": "Ready", "status": ready }])
        };
        let node = node("n")
            .with("/status/conditions", conditions)
            .with("/spec/taints", held.iter().map(taint).collect::<Vec<_>>())
            .build();
        let now = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        wanted(&node, eviction, now).map(|taints| {
            taints
                .iter()
                .map(|taint| format!("{}:{}", taint.key, taint.effect.as_str()))
                .collect()
        })
    }

    const NR_S: &str = "node.kubernetes.io/not-ready:NoSchedule";
    const NR_E: &str = "node.kubernetes.io/not-ready:NoExecute";
    const UR_S: &str = "node.kubernetes.io/unreachable:NoSchedule";
    const UR_E: &str = "node.kubernetes.io/unreachable:NoExecute";

    #[test]
    fn readiness_taints_and_untaints() {
        use Eviction::{Allowed, Later, Suspended};
        for (what, ready, held, eviction, want) in [
            ("ready and clean", "True", &[][..], Later, None),
            (
                "a new node's first taint goes",
                "True",
                &[NR_S],
                Later,
                Some(&[][..]),
            ),
            (
                "all of ours go, others stay",
                "True",
                &["mine:NoExecute", UR_S, UR_E, NR_E],
                Allowed,
                Some(&["mine:NoExecute"]),
            ),
            ("silent, not its turn", "Unknown", &[], Later, Some(&[UR_S])),
            (
                "silent, its turn",
                "Unknown",
                &[UR_S],
                Allowed,
                Some(&[UR_S, UR_E]),
            ),
            ("nothing new", "Unknown", &[UR_S, UR_E], Later, None),
            (
                "back, but not ready",
                "False",
                &[UR_S, UR_E],
                Later,
                Some(&[NR_S, NR_E]),
            ),
            (
                "gone silent while not ready",
                "Unknown",
                &[NR_S, NR_E],
                Later,
                Some(&[UR_S, UR_E]),
            ),
            (
                "all nodes are silent",
                "Unknown",
                &[UR_S, UR_E],
                Suspended,
                Some(&[UR_S]),
            ),
            ("never spoke", "", &[NR_E], Later, None),
        ] {
            let want = want.map(|taints| taints.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(wants(ready, held, eviction), want, "{what}");
        }
    }

    #[test]
    fn pressure_and_cordon_keep_new_pods_away() {
        let node = node("n")
            .with("/spec/unschedulable", true)
            .with("/status/conditions", json!([{ "type": "DiskPressure", "status": "True" }, { "type": "PIDPressure", "status": "Unknown" }]))
            .with("/spec/taints", json!([{ "key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule" }]))
            .build();
        let now: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let taints = wanted(&node, Eviction::Later, now).unwrap();
        let keys: Vec<_> = taints
            .iter()
            .map(|taint| (&*taint.key, taint.time_added))
            .collect();
        assert_eq!(
            keys,
            [
                ("node.kubernetes.io/disk-pressure", Some(now)),
                ("node.kubernetes.io/unschedulable", Some(now))
            ]
        );
    }
}
