//! The last touches: transition times, the start time, the limits of messages, false readiness of what has ended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use super::conditions::condition;
use super::{phase, time};
use crate::pod::spec::PodExt as _;

/// All termination messages of a pod together, bytes.
const MESSAGES: usize = 12 * 1024;

/// Settles `status` against the one before it.
pub fn settle(
    pod: &core::Pod,
    old: &core::PodStatus,
    mut status: core::PodStatus,
    now: Timestamp,
) -> core::PodStatus {
    status.start_time = old.start_time.clone().or_else(|| Some(time(now)));
    let is_final = status.phase.as_deref().is_some_and(phase::is_final);
    let final_reason = if status.phase.as_deref() == Some("Failed") {
        "PodFailed"
    } else {
        "PodCompleted"
    };
    for c in status
        .conditions
        .iter_mut()
        .flatten()
        .filter(|c| super::is_owned_condition(&c.type_))
    {
        if is_final && c.status == "True" && matches!(c.type_.as_str(), "Ready" | "ContainersReady") {
            c.status = "False".into();
            c.reason = Some(final_reason.into());
            c.message = None;
        }
        let before = condition(old, &c.type_).filter(|b| b.status == c.status);
        c.last_transition_time = before
            .and_then(|b| b.last_transition_time.clone())
            .or_else(|| Some(time(now)));
    }
    let count =
        pod.init().len() + pod.app().len() + pod.spec().ephemeral_containers.as_ref().map_or(0, Vec::len);
    let each = MESSAGES / count.max(1);
    let lists = [
        &mut status.container_statuses,
        &mut status.init_container_statuses,
        &mut status.ephemeral_container_statuses,
    ];
    for container in lists.into_iter().flatten().flatten() {
        for state in [&mut container.state, &mut container.last_state]
            .into_iter()
            .flatten()
        {
            if let Some(message) = state.terminated.as_mut().and_then(|t| t.message.as_mut())
                && message.len() > each
            {
                let mut end = each;
                while !message.is_char_boundary(end) {
                    end -= 1;
                }
                message.truncate(end);
            }
        }
    }
    status
}
