//! A pod's phase, out of its containers' states.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::containers::state;
use crate::pod::restart;
use crate::pod::spec::{PodExt as _, is_sidecar};

/// `Failed` or `Succeeded`.
#[must_use]
pub(super) fn is_final(phase: &str) -> bool {
    matches!(phase, "Failed" | "Succeeded")
}

/// How a container's last end reads: its exit code, and whether it is to run again.
fn ended(spec: &core::Container, pod: &core::Pod, state: &core::ContainerState) -> Option<(i32, bool)> {
    let code = state.terminated.as_ref()?.exit_code;
    Some((code, restart::after_exit(spec, pod, code)))
}

#[derive(Default)]
struct Count {
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    stopped_for_good: u32,
    succeeded: u32,
    init_pending: u32,
    sidecars_pending: u32,
    init_failed_for_good: u32,
}

/// The phase.
pub(super) fn of(
    pod: &core::Pod,
    statuses: &BTreeMap<&str, &core::ContainerStatus>,
    is_terminal: bool,
    initialized: bool,
) -> &'static str {
    let mut n = Count::default();
    let last_state = |s: &core::ContainerStatus| s.last_state.clone().unwrap_or_default();
    for spec in pod.init() {
        let status = statuses.get(spec.name.as_str());
        if is_sidecar(spec) {
            sidecar(status.copied(), &mut n);
            continue;
        }
        let Some(status) = status else {
            n.init_pending += 1;
            continue;
        };
        let end = match (state(status), last_state(status)) {
            (s, _) if s.terminated.is_some() => ended(spec, pod, s),
            (s, last) if s.waiting.is_some() && last.terminated.is_some() => ended(spec, pod, &last),
            _ => {
                n.init_pending += 1;
                continue;
            }
        };
        if end.is_some_and(|(code, again)| code != 0 && !again) {
            n.init_failed_for_good += 1;
        }
    }
    for spec in pod.app() {
        let Some(status) = statuses.get(spec.name.as_str()) else {
            n.unknown += 1;
            continue;
        };
        let now = state(status);
        if now.running.is_some() {
            n.running += 1;
        } else if let Some((code, again)) = ended(spec, pod, now) {
            n.stopped += 1;
            n.stopped_for_good += u32::from(!again);
            n.succeeded += u32::from(code == 0);
        } else if now.waiting.is_some() {
            match ended(spec, pod, &last_state(status)) {
                Some((_, again)) => {
                    n.stopped += 1;
                    n.stopped_for_good += u32::from(!again);
                }
                None => n.waiting += 1,
            }
        } else {
            n.unknown += 1;
        }
    }
    decide(&n, is_terminal && !pod.is_static(), initialized)
}

fn sidecar(status: Option<&core::ContainerStatus>, n: &mut Count) {
    let Some(status) = status else {
        n.unknown += 1;
        return;
    };
    let now = state(status);
    if now.running.is_some() {
        n.sidecars_pending += u32::from(status.started != Some(true));
        n.running += 1;
    } else if now.terminated.is_some() {
    } else if now.waiting.is_some() {
        if status.last_state.as_ref().is_none_or(|l| l.terminated.is_none()) {
            n.sidecars_pending += 1;
            n.waiting += 1;
        }
    } else {
        n.sidecars_pending += 1;
        n.unknown += 1;
    }
}

fn decide(n: &Count, is_terminal: bool, initialized: bool) -> &'static str {
    if n.init_failed_for_good > 0 {
        return "Failed";
    }
    if n.init_pending > 0 || (n.sidecars_pending > 0 && !initialized) || n.waiting > 0 {
        return "Pending";
    }
    if n.unknown > 0 {
        return "Pending";
    }
    if n.running > 0 {
        return "Running";
    }
    if n.stopped == 0 {
        return "Pending";
    }
    if !is_terminal && n.stopped != n.stopped_for_good {
        return "Running";
    }
    if n.stopped == n.succeeded {
        "Succeeded"
    } else {
        "Failed"
    }
}
