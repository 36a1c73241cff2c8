//! The condition with which a pod says why it was taken down (KEP-3329).

use crate::api::{ConditionStatus, Pod};
use machinery::meta::Time;
use serde_json::{Value, json};

/// The `DisruptionTarget` condition for a patch of the pod's status, unless it says so already.
pub fn target(pod: &Pod, reason: &str, message: &str, now: Time) -> Option<Value> {
    let held = pod
        .condition("DisruptionTarget")
        .filter(|held| held.status == ConditionStatus::True);
    if held.is_some_and(|held| held.reason == reason && *held.message == *message) {
        return None;
    }
    let since = held.map_or(Some(now), |held| held.last_transition_time);
    Some(json!({
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": since, "observedGeneration": pod.metadata.generation
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn the_condition_is_written_once() {
        let now: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let condition = target(&pod("p").build(), "R", "m", now).unwrap();
        assert_eq!(condition["lastTransitionTime"], "2026-01-01T00:00:00Z");
        let held = |reason: &str| {
            let since = "2025-01-01T00:00:00Z";
            let condition = json!([{ "type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": since }]);
            pod("p").with("/status/conditions", condition).build()
        };
        assert!(target(&held("R"), "R", "m", now).is_none());
        assert_eq!(
            target(&held("Other"), "R", "m", now).unwrap()["lastTransitionTime"],
            "2025-01-01T00:00:00Z"
        );
    }
}
