//! Which pods go first when there are too many: upstream's order (`ActivePodsWithRanks`).

use crate::api::{Phase, Pod};
use jiff::Timestamp;
use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::sync::Arc;

/// Users lower a pod's turn with this annotation.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

struct Ranked {
    pod: Arc<Pod>,
    /// How many related pods share its node.
    crowd: usize,
    ready: bool,
    cost: i32,
}

/// The pods in the order in which they are to be deleted. `related` are the pods of all ReplicaSets of the same owner: pods that
/// crowd a node go before those that are alone there.
pub fn by_deletion(pods: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut crowds: FxHashMap<&Istr, usize> = FxHashMap::default();
    for pod in related.iter().filter(|pod| pod.is_active()) {
        *crowds.entry(&pod.spec.node_name).or_default() += 1;
    }
    let mut ranked: Vec<_> = pods
        .iter()
        .map(|pod| Ranked {
            pod: pod.clone(),
            crowd: crowds.get(&pod.spec.node_name).copied().unwrap_or_default(),
            ready: pod.is_ready(),
            cost: deletion_cost(pod),
        })
        .collect();
    ranked.sort_by(|a, b| order(a, b, now));
    ranked.into_iter().map(|ranked| ranked.pod).collect()
}

/// The annotation's value; one that does not parse counts as none. Upstream allows no plus sign and no leading zeros.
fn deletion_cost(pod: &Pod) -> i32 {
    let Some(text) = pod.metadata.annotations.get(DELETION_COST) else {
        return 0;
    };
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if text.starts_with('+') || (unsigned.starts_with('0') && text != "0") {
        return 0;
    }
    text.parse().unwrap_or(0)
}

fn phase_order(phase: Phase) -> u8 {
    match phase {
        Phase::Unknown => 1,
        Phase::Running => 2,
        _ => 0,
    }
}

fn order(a: &Ranked, b: &Ranked, now: Timestamp) -> Ordering {
    // `true` sorts last: assigned after unassigned, ready after not ready.
    let assigned = |r: &Ranked| !r.pod.spec.node_name.is_empty();
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase_order(a.pod.status.phase).cmp(&phase_order(b.pod.status.phase)))
        .then_with(|| a.ready.cmp(&b.ready))
        .then_with(|| a.cost.cmp(&b.cost))
        .then_with(|| b.crowd.cmp(&a.crowd))
        .then_with(|| {
            if a.ready && b.ready {
                let since = |r: &Ranked| r.pod.ready_since().map(|time| time.0);
                newest_first(since(a), since(b), now, &a.pod.metadata.uid, &b.pod.metadata.uid)
            } else {
                Ordering::Equal
            }
        })
        .then_with(|| {
            b.pod
                .status
                .container_statuses
                .largest
                .cmp(&a.pod.status.container_statuses.largest)
        })
        .then_with(|| {
            let created = |r: &Ranked| r.pod.metadata.creation_timestamp.map(|time| time.0);
            newest_first(
                created(a),
                created(b),
                now,
                &a.pod.metadata.uid,
                &b.pod.metadata.uid,
            )
        })
}

/// Younger before older, but only by the order of magnitude of their age; within one, the uid decides, which is random.
fn newest_first(
    a: Option<Timestamp>,
    b: Option<Timestamp>,
    now: Timestamp,
    a_uid: &str,
    b_uid: &str,
) -> Ordering {
    match (a, b) {
        (a, b) if a == b => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a), Some(b)) => magnitude(now, a)
            .cmp(&magnitude(now, b))
            .then_with(|| a_uid.cmp(b_uid)),
    }
}

/// The base-2 logarithm of the age in nanoseconds; -1 for what lies in the future.
fn magnitude(now: Timestamp, then: Timestamp) -> i32 {
    let age = now.as_nanosecond() - then.as_nanosecond();
    if age > 0 {
        i32::try_from(age.ilog2()).unwrap_or(i32::MAX)
    } else {
        -1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn worse_pods_go_first() {
        let now = Timestamp::from_second(100_000).unwrap();
        // Each is to go before the next.
        let wanted = [
            pod("unassigned"),
            pod("pending").node("n1").created_at(1),
            pod("unknown").node("n1").phase("Unknown"),
            pod("not-ready").node("n1").phase("Running"),
            pod("cheap")
                .node("n1")
                .phase("Running")
                .ready_at(10)
                .annotation(DELETION_COST, "-5"),
            pod("crowded").node("n2").phase("Running").ready_at(10),
            pod("young").node("n1").phase("Running").ready_at(99_990),
            pod("older").node("n1").phase("Running").ready_at(90_000),
            pod("dear")
                .node("n1")
                .phase("Running")
                .ready_at(99_999)
                .annotation(DELETION_COST, "10"),
        ]
        .map(crate::testing::PodBuilder::arc);
        let mut related = wanted.to_vec();
        related.extend((0..9).map(|n| pod(&format!("neighbour-{n}")).node("n2").phase("Running").arc()));
        let mut shuffled = wanted.to_vec();
        shuffled.reverse();
        shuffled.swap(1, 5);
        let names = |pods: &[Arc<Pod>]| {
            pods.iter()
                .map(|pod| pod.metadata.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&by_deletion(&shuffled, &related, now)), names(&wanted));
    }

    #[test]
    fn among_pods_that_are_not_ready_restarts_and_then_age_count() {
        let now = Timestamp::from_second(100_000).unwrap();
        let wanted = [
            pod("restarts")
                .node("n")
                .phase("Running")
                .restarts(7)
                .created_at(1),
            pod("new").node("n").phase("Running").created_at(99_999),
            pod("old").node("n").phase("Running").created_at(10),
        ]
        .map(crate::testing::PodBuilder::arc);
        let mut shuffled = wanted.to_vec();
        shuffled.reverse();
        let sorted = by_deletion(&shuffled, &[], now);
        assert!(sorted.iter().zip(&wanted).all(|(a, b)| Arc::ptr_eq(a, b)));
    }

    #[test]
    fn costs_parse_as_upstream_parses_them() {
        for (text, cost) in [
            ("7", 7),
            ("-7", -7),
            ("0", 0),
            ("+7", 0),
            ("07", 0),
            ("-07", 0),
            ("x", 0),
            ("99999999999", 0),
        ] {
            assert_eq!(
                deletion_cost(&pod("p").annotation(DELETION_COST, text).build()),
                cost,
                "{text}"
            );
        }
    }
}
