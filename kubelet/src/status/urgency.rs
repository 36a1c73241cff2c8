//! Which statuses may wait a moment before they are told: those that the next one soon makes obsolete. Pure.
//!
//! Most pods are up within a second. Nobody acts on the steps on the way there, but each would be a write for the API server
//! and its storage, and news for everyone who watches pods. The same goes for the acknowledgement of a deletion.

use k8s_openapi::api::core::v1 as core;

/// Whether the API server may have `theirs` for a moment longer.
#[must_use]
pub fn can_wait(theirs: &core::PodStatus, ours: &core::PodStatus, is_deleting: bool) -> bool {
    (comes_up(theirs) && comes_up(ours)) || (is_deleting && bare(theirs) == bare(ours))
}

/// No container was ever started, and nothing is in the way of that.
fn comes_up(status: &core::PodStatus) -> bool {
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let waits = |c: &core::ContainerStatus| {
        c.restart_count == 0
            && c.state.as_ref().is_none_or(|state| {
                let reason = state.waiting.as_ref().and_then(|w| w.reason.as_deref());
                let usual = matches!(reason, None | Some("ContainerCreating" | "PodInitializing"));
                usual && state.running.is_none() && state.terminated.is_none()
            })
    };
    matches!(status.phase.as_deref(), None | Some("" | "Pending"))
        && !super::is_ready(status)
        && containers.into_iter().flatten().flatten().all(waits)
}

/// Without what says which version of the spec it was made from.
fn bare(status: &core::PodStatus) -> core::PodStatus {
    let mut status = status.clone();
    status.observed_generation = None;
    for condition in status.conditions.iter_mut().flatten() {
        condition.observed_generation = None;
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(value: Value) -> core::PodStatus {
        serde_json::from_value(value).unwrap()
    }

    fn with(phase: &str, state: Value, ready: &str) -> core::PodStatus {
        let container = json!({
            "name": "c", "image": "i", "imageID": "", "ready": ready == "True", "restartCount": 0, "state": state,
        });
        status(json!({
            "phase": phase,
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": [container],
        }))
    }

    #[test]
    fn only_steps_towards_the_first_start_and_acknowledgements_wait() {
        let bound = status(
            json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "True" }] }),
        );
        let waiting = |reason: &str| with("Pending", json!({ "waiting": { "reason": reason } }), "False");
        let running = |ready| {
            with(
                "Running",
                json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }),
                ready,
            )
        };
        for (theirs, ours, want) in [
            (bound.clone(), waiting("ContainerCreating"), true),
            (waiting("ContainerCreating"), waiting("PodInitializing"), true),
            (waiting("ContainerCreating"), waiting("ErrImagePull"), false),
            (waiting("ErrImagePull"), waiting("ContainerCreating"), false),
            (waiting("ContainerCreating"), running("True"), false),
            (bound, running("False"), false),
            (running("False"), running("True"), false),
            (running("True"), running("False"), false),
        ] {
            assert_eq!(can_wait(&theirs, &ours, false), want, "{theirs:?} -> {ours:?}");
        }
    }

    #[test]
    fn of_a_deleted_pod_all_but_the_acknowledgement_is_told_at_once() {
        let before = with("Running", json!({ "running": {} }), "True");
        let mut seen = before.clone();
        seen.observed_generation = Some(2);
        assert!(can_wait(&before, &seen, true));
        assert!(!can_wait(&before, &seen, false), "a change of the spec is news");
        let unready = with("Running", json!({ "running": {} }), "False");
        assert!(!can_wait(&before, &unready, true));
    }
}
