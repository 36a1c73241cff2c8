//! What the status of a budget is to be.

use crate::api::{Budget, BudgetSpec, BudgetStatus, ConditionStatus, MetaCondition, Pod};
use jiff::{SignedDuration, Timestamp};
use machinery::arith::IntOrString;
use machinery::arith::int_or_string::NotAPercentage;
use machinery::meta::{Istr, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

const ALLOWED: &str = "DisruptionAllowed";
/// How long after its eviction was allowed a pod must be on its way out: what is not by then, stays.
pub const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);
/// How long a pod that was to be disrupted may say so without being deleted.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// Whether the budget is a share of what the pods' owners want, so that their scale has to be known.
pub fn needs_scale(spec: &BudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// How many pods are expected and how many of them must be healthy. `scale` is what the pods' owners want.
///
/// # Errors
/// A text in the budget is no percentage.
pub fn desired(spec: &BudgetSpec, pods: i32, scale: i32) -> Result<(i32, i32), NotAPercentage> {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => Ok((scale, (scale - most.scaled(scale, true)?).max(0))),
        (None, Some(IntOrString::Int(least))) => Ok((pods, *least)),
        (None, Some(least)) => Ok((scale, least.scaled(scale, true)?)),
        (None, None) => Ok((0, 0)),
    }
}

/// The outcome of [`plan`].
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub status: BudgetStatus,
    /// Pods whose eviction was allowed and that are still there.
    pub undead: Vec<Istr>,
    /// When the first of those that were allowed to go must be gone.
    pub again: Option<SignedDuration>,
}

/// Makes the status, given how many pods are expected and how many must be healthy.
pub fn plan(budget: &Budget, pods: &[Arc<Pod>], (expected, desired): (i32, i32), now: Timestamp) -> Plan {
    let mut disrupted = BTreeMap::new();
    let (mut undead, mut again) = (Vec::new(), None);
    for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
        let name = &pod.metadata.name;
        let Some(since) = budget.status.disrupted_pods.get(name) else {
            continue;
        };
        let left = (since.0 + DELETION_TIMEOUT).duration_since(now);
        if left.is_negative() {
            undead.push(name.clone());
        } else {
            again = Some(again.map_or(left, |other: SignedDuration| other.min(left)));
            disrupted.insert(name.clone(), *since);
        }
    }
    let healthy = pods
        .iter()
        .filter(|pod| !pod.metadata.is_deleting() && pod.is_ready())
        .filter(|pod| {
            disrupted
                .get(&pod.metadata.name)
                .is_none_or(|since| since.0 + DELETION_TIMEOUT <= now)
        });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let generation = budget.metadata.generation;
    let mut conditions = budget.status.conditions.clone();
    let (status, reason) = if allowed > 0 {
        (ConditionStatus::True, "SufficientPods")
    } else {
        (ConditionStatus::False, "InsufficientPods")
    };
    let is_told = budget.status.observed_generation == generation
        && conditions
            .iter()
            .any(|held| held.kind == ALLOWED && held.status == status && held.reason == reason);
    if !is_told {
        MetaCondition::set(&mut conditions, condition(status, reason, "", generation, now));
    }
    let status = BudgetStatus {
        observed_generation: generation,
        disrupted_pods: disrupted,
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: expected,
        conditions,
    };
    Plan {
        status,
        undead,
        again,
    }
}

fn condition(
    status: ConditionStatus,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> MetaCondition {
    MetaCondition {
        kind: ALLOWED.into(),
        status,
        observed_generation: generation,
        last_transition_time: Some(Time(now)),
        reason: reason.into(),
        message: message.into(),
    }
}

/// The status when nothing could be worked out: nothing may be evicted.
pub fn fail_safe(budget: &Budget, why: &str, now: Timestamp) -> BudgetStatus {
    let mut status = budget.status.clone();
    status.disruptions_allowed = 0;
    let failed = condition(
        ConditionStatus::False,
        "SyncFailed",
        why,
        status.observed_generation,
        now,
    );
    MetaCondition::set(&mut status.conditions, failed);
    status
}

/// When the pod's `DisruptionTarget` condition is to be taken back, since nothing came of it: `None` for never.
pub fn stale_in(pod: &Pod, now: Timestamp) -> Option<SignedDuration> {
    if pod.metadata.is_deleting() || pod.status.phase.is_terminal() {
        return None;
    }
    let held = pod
        .condition("DisruptionTarget")
        .filter(|held| held.status == ConditionStatus::True && held.reason != "TerminationByKubelet")?;
    let since = held
        .last_transition_time
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some(
        (since + STALE_AFTER)
            .duration_since(now)
            .max(SignedDuration::ZERO),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, pod};
    use serde_json::{Value, json};

    fn budget(spec: &Value, status: &Value) -> Budget {
        let object = json!({ "metadata": { "name": "b", "namespace": "default", "generation": 2 }, "spec": spec, "status": status });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn budgets_are_numbers_or_shares() {
        for (spec, pods, scale, want) in [
            (json!({ "minAvailable": 2 }), 5, 0, (5, 2)),
            (json!({ "minAvailable": "50%" }), 3, 5, (5, 3)),
            (json!({ "maxUnavailable": 1 }), 3, 5, (5, 4)),
            (json!({ "maxUnavailable": "30%" }), 3, 10, (10, 7)),
            (json!({ "maxUnavailable": 9 }), 3, 5, (5, 0)),
            (json!({}), 3, 5, (0, 0)),
        ] {
            let spec: BudgetSpec = serde_json::from_str(&spec.to_string()).unwrap();
            assert_eq!(desired(&spec, pods, scale), Ok(want), "{spec:?}");
        }
        let bad: BudgetSpec = serde_json::from_str(r#"{"minAvailable":"x"}"#).unwrap();
        assert!(needs_scale(&bad) && desired(&bad, 1, 1).is_err());
    }

    #[test]
    fn healthy_pods_beyond_those_desired_may_go() {
        let pods: Vec<_> = [
            pod("a").ready_at(1),
            pod("b").ready_at(1),
            pod("c"),
            pod("d")
                .ready_at(1)
                .with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z"),
        ]
        .into_iter()
        .map(PodBuilder::arc)
        .collect();
        let fresh = budget(&json!({ "minAvailable": 1 }), &json!({}));
        let told = plan(&fresh, &pods, (4, 1), at(100));
        let status = &told.status;
        assert_eq!(
            (
                status.current_healthy,
                status.disruptions_allowed,
                status.expected_pods
            ),
            (2, 1, 4)
        );
        assert_eq!(
            (status.conditions[0].status, &*status.conditions[0].reason),
            (ConditionStatus::True, "SufficientPods")
        );
        let mut written = fresh.clone();
        written.status = status.clone();
        assert_eq!(plan(&written, &pods, (4, 1), at(200)), told, "nothing to write");
        assert_eq!(plan(&fresh, &pods, (0, 1), at(100)).status.disruptions_allowed, 0);
        assert_eq!(plan(&fresh, &pods, (4, 3), at(100)).status.disruptions_allowed, 0);
    }

    #[test]
    fn evicted_pods_do_not_count_until_it_is_clear_that_they_stay() {
        let pods = [pod("a").ready_at(1).arc(), pod("b").ready_at(1).arc()];
        let since = at(1_000).to_string();
        let held = budget(
            &json!({ "minAvailable": 1 }),
            &json!({ "disruptedPods": { "a": since, "gone": since } }),
        );
        let soon = plan(&held, &pods, (2, 1), at(1_060));
        assert_eq!(soon.status.current_healthy, 1);
        assert_eq!(soon.status.disrupted_pods.len(), 1);
        assert_eq!(soon.again, Some(SignedDuration::from_secs(60)));
        let late = plan(&held, &pods, (2, 1), at(1_121));
        assert_eq!((late.status.current_healthy, late.undead.len()), (2, 1));
        assert!(late.status.disrupted_pods.is_empty() && late.again.is_none());
    }

    #[test]
    fn a_failure_allows_nothing() {
        let held = budget(
            &json!({}),
            &json!({ "disruptionsAllowed": 5, "currentHealthy": 7 }),
        );
        let status = fail_safe(&held, "why", at(1));
        assert_eq!((status.disruptions_allowed, status.current_healthy), (0, 7));
        assert_eq!(
            (&*status.conditions[0].reason, &*status.conditions[0].message),
            ("SyncFailed", "why")
        );
    }

    #[test]
    fn a_pod_that_was_not_disrupted_says_so_for_two_minutes() {
        let told = |reason: &str| {
            let condition = json!([{ "type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": at(1_000).to_string() }]);
            pod("p").with("/status/conditions", condition)
        };
        assert_eq!(
            stale_in(&told("EvictionByEvictionAPI").build(), at(1_030)),
            Some(SignedDuration::from_secs(90))
        );
        assert_eq!(
            stale_in(&told("EvictionByEvictionAPI").build(), at(9_000)),
            Some(SignedDuration::ZERO)
        );
        assert_eq!(stale_in(&told("TerminationByKubelet").build(), at(9_000)), None);
        assert_eq!(stale_in(&told("X").phase("Failed").build(), at(9_000)), None);
        assert_eq!(stale_in(&pod("p").build(), at(9_000)), None);
    }
}
