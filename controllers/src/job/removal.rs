//! Which active pods go when there are too many, or when two have the same index.

use super::tally::completion_index;
use crate::api::{Job, Phase, Pod};
use jiff::Timestamp;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Those that are least far come first (upstream's `ActivePods`).
fn order(a: &Arc<Pod>, b: &Arc<Pod>) -> Ordering {
    let rank = |pod: &Pod| {
        let phase = match pod.status.phase {
            Phase::Unknown => 1,
            Phase::Running => 2,
            _ => 0,
        };
        (!pod.spec.node_name.is_empty(), phase, pod.is_ready())
    };
    // What has no time comes first, then the youngest.
    let time = |time: Option<Timestamp>| (time.is_some(), Reverse(time));
    rank(a)
        .cmp(&rank(b))
        .then_with(|| {
            let since = |pod: &Pod| time(pod.ready_since().map(|time| time.0));
            since(a).cmp(&since(b))
        })
        .then_with(|| {
            let restarts = |pod: &Pod| pod.status.container_statuses.largest;
            restarts(b).cmp(&restarts(a))
        })
        .then_with(|| {
            let created = |pod: &Pod| time(pod.metadata.creation_timestamp.map(|time| time.0));
            created(a).cmp(&created(b))
        })
}

/// At least `least` pods to remove; more where pods have no index of the Job's, or share one.
pub fn to_remove(job: &Job, active: &[Arc<Pod>], least: usize) -> Vec<Arc<Pod>> {
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    match job.spec.indexes() {
        None => left.extend_from_slice(active),
        Some(indexes) => {
            let mut by_index: BTreeMap<usize, Vec<Arc<Pod>>> = BTreeMap::new();
            for pod in active {
                match completion_index(pod).filter(|index| *index < indexes) {
                    None => gone.push(pod.clone()),
                    Some(index) => by_index.entry(index).or_default().push(pod.clone()),
                }
            }
            for mut pods in by_index.into_values() {
                pods.sort_by(order);
                left.extend(pods.pop());
                gone.append(&mut pods);
            }
        }
    }
    if let more @ 1.. = least.saturating_sub(gone.len()) {
        left.sort_by(order);
        gone.extend(left.into_iter().take(more));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::INDEX;
    use crate::testing::{job, pod};
    use serde_json::json;

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| &*pod.metadata.name).collect()
    }

    #[test]
    fn those_least_far_go_first() {
        let wanted = [
            pod("unassigned"),
            pod("pending").node("n").created_at(5),
            pod("younger").node("n").phase("Running").created_at(9),
            pod("older").node("n").phase("Running").created_at(8),
            pod("ready-late").node("n").phase("Running").ready_at(30),
            pod("ready-early").node("n").phase("Running").ready_at(20),
        ]
        .map(crate::testing::PodBuilder::arc);
        let mut shuffled = wanted.to_vec();
        shuffled.reverse();
        let job = job("j", json!({}));
        assert_eq!(names(&to_remove(&job, &shuffled, 6)), names(&wanted));
        assert_eq!(names(&to_remove(&job, &shuffled, 2)), ["unassigned", "pending"]);
        assert!(to_remove(&job, &shuffled, 0).is_empty());
    }

    #[test]
    fn an_index_has_one_pod() {
        let job = job("j", json!({ "completionMode": "Indexed", "completions": 3 }));
        let at = |name: &str, index: &str| pod(name).annotation(INDEX, index);
        let pods = [
            at("a0", "0"),
            at("b0", "0").node("n"),
            at("c1", "1"),
            at("d7", "7"),
            pod("none"),
        ]
        .map(crate::testing::PodBuilder::arc);
        assert_eq!(names(&to_remove(&job, &pods, 0)), ["d7", "none", "a0"]);
        assert_eq!(names(&to_remove(&job, &pods, 4)), ["d7", "none", "a0", "c1"]);
    }
}
