//! How long to wait before a failed pod is replaced.

use crate::api::{Containers, Pod};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The wait after the first failure, and the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// Failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: i32,
    pub last: Option<Timestamp>,
}

impl Failures {
    /// With the pods that ended since.
    #[must_use]
    pub fn with(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> Self {
        let ends = |pods: &[Arc<Pod>]| pods.iter().map(|pod| finished_at(pod)).collect::<Vec<_>>();
        let mut after = ends(failed);
        let mut held = self;
        if let Some(success) = ends(succeeded).into_iter().max() {
            held = Self::default();
            after.retain(|time| *time > success);
        }
        Self {
            count: held
                .count
                .saturating_add(i32::try_from(after.len()).unwrap_or(i32::MAX)),
            last: after.into_iter().max().or(held.last),
        }
    }

    /// How long the next pod has to wait.
    pub fn wait(self, now: Timestamp) -> Duration {
        let (Some(last), true) = (self.last, self.count > 0) else {
            return Duration::ZERO;
        };
        let doublings = u32::try_from(self.count - 1).unwrap_or(0).min(16);
        let whole = LONGEST.min(FIRST * 2u32.pow(doublings));
        let passed = now.duration_since(last);
        if passed.is_negative() {
            return whole.saturating_add(passed.unsigned_abs());
        }
        whole.saturating_sub(passed.unsigned_abs())
    }
}

/// The last end of the containers, unless some still go on.
fn last_end(containers: &Containers) -> Option<Timestamp> {
    if containers.going > 0 {
        return None;
    }
    containers
        .ended
        .iter()
        .map(|ended| ended.finished_at.map(|time| time.0))
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

/// When the containers ended, sidecars included.
fn containers_end(pod: &Pod) -> Option<Timestamp> {
    let mut end = last_end(&pod.status.container_statuses);
    let init = &pod.status.init_container_statuses;
    for name in pod.spec.sidecars() {
        match init.ended.iter().find(|ended| ended.name == *name) {
            Some(ended) => end = end.max(Some(ended.finished_at?.0)),
            None if init.going > 0 => return None,
            None => {}
        }
    }
    end
}

/// When a pod ended, by the best witness there is.
pub fn finished_at(pod: &Pod) -> Timestamp {
    let not_ready = || {
        pod.condition("Ready")
            .filter(|ready| ready.status == crate::api::ConditionStatus::False)
            .and_then(|ready| ready.last_transition_time)
            .map(|time| time.0)
    };
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        pod.metadata
            .deletion_timestamp
            .map(|time| time.0 - SignedDuration::from_secs(grace))
    };
    containers_end(pod)
        .or_else(not_ready)
        .or_else(deleted)
        .or_else(|| pod.metadata.creation_timestamp.map(|time| time.0))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(second: i64) -> Arc<Pod> {
        let terminated = json!({ "exitCode": 1, "finishedAt": at(second).to_string() });
        pod("p")
            .with(
                "/status/containerStatuses",
                json!([{ "name": "c", "state": { "terminated": terminated } }]),
            )
            .arc()
    }

    #[test]
    fn waits_double_and_a_success_ends_them() {
        let one = Failures::default().with(&[], &[ended(100)]);
        assert_eq!(
            one,
            Failures {
                count: 1,
                last: Some(at(100))
            }
        );
        assert_eq!(one.wait(at(103)), Duration::from_secs(7));
        assert_eq!(one.wait(at(200)), Duration::ZERO);
        let three = one.with(&[], &[ended(120), ended(110)]);
        assert_eq!((three.count, three.wait(at(120))), (3, Duration::from_secs(40)));
        let many = Failures { count: 50, ..three };
        assert_eq!(many.wait(at(120)), LONGEST);
        assert_eq!(three.with(&[ended(130)], &[]), Failures::default());
        let mixed = three.with(&[ended(130)], &[ended(125), ended(131), ended(140)]);
        assert_eq!(
            mixed,
            Failures {
                count: 2,
                last: Some(at(140))
            }
        );
    }

    #[test]
    fn the_end_of_a_pod_is_told_by_the_best_witness() {
        let plain = pod("p").created_at(1);
        assert_eq!(finished_at(&plain.build()), at(1));
        let deleted = pod("p")
            .created_at(1)
            .with("/metadata/deletionTimestamp", at(50).to_string())
            .with("/metadata/deletionGracePeriodSeconds", 30);
        assert_eq!(finished_at(&deleted.build()), at(20));
        let unready = deleted_and(
            json!([{ "type": "Ready", "status": "False", "lastTransitionTime": at(15).to_string() }]),
        );
        assert_eq!(finished_at(&unready), at(15));
        let going = pod("p").created_at(1).with(
            "/status/containerStatuses",
            json!([{ "name": "a", "state": { "terminated": { "finishedAt": at(9).to_string() } } }, { "name": "b", "state": {} }]),
        );
        assert_eq!(finished_at(&going.build()), at(1));
        let sidecar = pod("p")
            .with(
                "/spec/initContainers",
                json!([{ "name": "s", "restartPolicy": "Always" }, { "name": "i" }]),
            )
            .with(
                "/status/containerStatuses",
                json!([{ "name": "a", "state": { "terminated": { "finishedAt": at(9).to_string() } } }]),
            )
            .with(
                "/status/initContainerStatuses",
                json!([{ "name": "s", "state": { "terminated": { "finishedAt": at(12).to_string() } } },
                { "name": "i", "state": { "terminated": { "finishedAt": at(99).to_string() } } }]),
            );
        assert_eq!(finished_at(&sidecar.build()), at(12));
    }

    fn deleted_and(conditions: serde_json::Value) -> Pod {
        pod("p")
            .created_at(1)
            .with("/metadata/deletionTimestamp", at(50).to_string())
            .with("/status/conditions", conditions)
            .build()
    }
}
