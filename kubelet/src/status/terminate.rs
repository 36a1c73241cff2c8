//! The final status of a pod of which nothing runs any more.

use k8s_openapi::api::core::v1 as core;

use super::containers::{lost_at_termination, state};
use super::phase;
use crate::pod::spec::{PodExt as _, is_sidecar};

/// Gives every container that may have run an end, and the pod a final phase (a static pod keeps its own).
#[must_use]
pub fn terminate(pod: &core::Pod, mut status: core::PodStatus) -> core::PodStatus {
    if was_initialized(pod, &status) {
        for c in status.container_statuses.iter_mut().flatten() {
            end(c);
        }
    }
    if let Some(init) = status.init_container_statuses.as_mut() {
        let ran = |c: &core::ContainerStatus| {
            state(c).waiting.is_none() || c.last_state.as_ref().is_some_and(|l| l.terminated.is_some())
        };
        let reached = init.iter().rposition(ran).unwrap_or(0);
        init.iter_mut().take(reached + 1).for_each(end);
    }
    if !pod.is_static() && !status.phase.as_deref().is_some_and(phase::is_final) {
        status.phase = Some("Failed".into());
    }
    status
}

fn end(c: &mut core::ContainerStatus) {
    if state(c).terminated.is_none() {
        c.state = Some(lost_at_termination());
        c.ready = false;
        c.started = Some(false);
    }
}

fn was_initialized(pod: &core::Pod, status: &core::PodStatus) -> bool {
    let Some(last_init) = pod.init().last() else {
        return true;
    };
    let ended = |s: &core::ContainerStatus| s.last_state.as_ref().and_then(|l| l.terminated.clone());
    if status
        .container_statuses
        .iter()
        .flatten()
        .any(|s| ended(s).is_some() || state(s).waiting.is_none())
    {
        return true;
    }
    let Some(s) = status.init_container_statuses.iter().flatten().last() else {
        return false;
    };
    if is_sidecar(last_init) {
        return state(s).running.is_some() && s.started == Some(true);
    }
    [state(s).terminated.clone(), ended(s)]
        .into_iter()
        .flatten()
        .any(|t| t.exit_code == 0)
}
