//! The status of a ReplicaSet.

use crate::api::{Condition, ConditionStatus, Pod, ReplicaSet, ReplicaSetStatus};
use jiff::{SignedDuration, Timestamp};
use machinery::meta::Time;
use std::sync::Arc;

/// Set while pods cannot be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What the status is to be, given the pods and how the last attempt to create or delete some failed. `terminating` is told where the
/// kind has a place for it.
pub fn status(
    rs: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: Option<usize>,
    failure: Option<&str>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let count = |test: &dyn Fn(&Pod) -> bool| to_i32(active.iter().filter(|pod| test(pod)).count());
    let template = &rs.spec.template.labels;
    ReplicaSetStatus {
        replicas: to_i32(active.len()),
        fully_labeled_replicas: count(&|pod| {
            template
                .iter()
                .all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
        }),
        ready_replicas: count(&Pod::is_ready),
        available_replicas: count(&|pod| is_available(pod, rs.spec.min_ready_seconds, now)),
        terminating_replicas: terminating.map(to_i32),
        observed_generation: rs.metadata.generation,
        conditions: conditions(rs, active.len(), failure, now),
    }
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Ready, and for long enough.
fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    if min_ready_seconds == 0 {
        return pod.is_ready();
    }
    pod.ready_since()
        .is_some_and(|since| since.0 + SignedDuration::from_secs(min_ready_seconds.into()) <= now)
}

fn conditions(rs: &ReplicaSet, active: usize, failure: Option<&str>, now: Timestamp) -> Vec<Condition> {
    let mut conditions = rs.status.conditions.clone();
    let held = conditions
        .iter()
        .any(|condition| condition.kind == REPLICA_FAILURE);
    match failure {
        None => conditions.retain(|condition| condition.kind != REPLICA_FAILURE),
        Some(_) if held => {}
        Some(message) => {
            let wanted = usize::try_from(rs.spec.replicas).unwrap_or(0);
            conditions.push(Condition {
                kind: REPLICA_FAILURE.into(),
                status: ConditionStatus::True,
                last_transition_time: Some(Time(now)),
                reason: match active.cmp(&wanted) {
                    std::cmp::Ordering::Less => "FailedCreate".into(),
                    std::cmp::Ordering::Greater => "FailedDelete".into(),
                    std::cmp::Ordering::Equal => "".into(),
                },
                message: message.into(),
            });
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, replica_set};

    #[test]
    fn pods_are_counted() {
        let mut rs = replica_set("rs", 5);
        rs.spec.min_ready_seconds = 10;
        rs.metadata.generation = 3;
        let now = Timestamp::from_second(100).unwrap();
        let pods = [
            pod("a").label("app", "web").ready_at(10).arc(),
            pod("b").label("app", "web").ready_at(95).arc(),
            pod("c").ready_at(90).arc(),
            pod("d").label("app", "web").arc(),
        ];
        let status = status(&rs, &pods, Some(2), None, now);
        assert_eq!(
            (
                status.replicas,
                status.fully_labeled_replicas,
                status.ready_replicas
            ),
            (4, 3, 3)
        );
        assert_eq!(
            (
                status.available_replicas,
                status.terminating_replicas,
                status.observed_generation
            ),
            (2, Some(2), 3)
        );
    }

    #[test]
    fn a_failure_is_a_condition_until_it_passes() {
        let mut rs = replica_set("rs", 2);
        let now = Timestamp::from_second(100).unwrap();
        rs.status = status(&rs, &[], Some(0), Some("quota"), now);
        assert_eq!(
            (
                &*rs.status.conditions[0].reason,
                &*rs.status.conditions[0].message
            ),
            ("FailedCreate", "quota")
        );
        let later = status(
            &rs,
            &[],
            Some(0),
            Some("another"),
            Timestamp::from_second(200).unwrap(),
        );
        assert_eq!(later, rs.status, "the first failure stays");
        assert!(status(&rs, &[], Some(0), None, now).conditions.is_empty());
        let excess = [pod("a").arc(), pod("b").arc(), pod("c").arc()];
        assert_eq!(
            status(&replica_set("rs", 2), &excess, Some(0), Some("x"), now).conditions[0].reason,
            "FailedDelete"
        );
    }
}
