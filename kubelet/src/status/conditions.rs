//! The pod's conditions that the kubelet owns.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::Facts;
use super::containers::state;
use crate::pod::plan;
use crate::pod::resize;
use crate::pod::spec::{PodExt as _, is_sidecar};

/// Whether the kubelet owns a condition.
#[must_use]
pub fn owned(kind: &str) -> bool {
    matches!(
        kind,
        "PodScheduled"
            | "Ready"
            | "Initialized"
            | "ContainersReady"
            | "PodReadyToStartContainers"
            | "PodResizeInProgress"
            | "PodResizePending"
            | "AllContainersRestarting"
    )
}

/// A condition of a status.
#[must_use]
pub fn condition<'a>(status: &'a core::PodStatus, kind: &str) -> Option<&'a core::PodCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind)
}

/// The pod is ready.
#[must_use]
pub fn is_ready(status: &core::PodStatus) -> bool {
    condition(status, "Ready").is_some_and(|c| c.status == "True")
}

struct Made {
    truth: bool,
    reason: &'static str,
    message: String,
}

const YES: Made = Made {
    truth: true,
    reason: "",
    message: String::new(),
};

fn no(reason: &'static str, message: String) -> Made {
    Made {
        truth: false,
        reason,
        message,
    }
}

/// Everybody else's conditions, then ours.
pub(super) fn all(facts: &Facts<'_>, status: &core::PodStatus) -> Vec<core::PodCondition> {
    let pod = facts.pod;
    let theirs = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut out: Vec<core::PodCondition> = theirs.filter(|c| !owned(&c.type_)).cloned().collect();
    if let Some(ours) = condition(facts.old, "DisruptionTarget") {
        out.retain(|c| c.type_ != ours.type_);
        out.push(ours.clone());
    }
    let statuses: BTreeMap<&str, &core::ContainerStatus> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .map(|s| (s.name.as_str(), s))
        .collect();
    let phase = status.phase.as_deref().unwrap_or_default();
    let sandbox = match plan::sandbox_change(pod, facts.seen) {
        None => YES,
        Some((_, why)) => no("PodSandboxNotReady", why.into()),
    };
    let initialized = initialized(pod, &statuses, phase);
    let containers = containers_ready(pod, &statuses, phase);
    let ready = if containers.truth {
        gates(pod, &out)
    } else {
        no(containers.reason, containers.message.clone())
    };
    for (kind, made) in [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", YES),
    ] {
        out.push(core::PodCondition {
            type_: kind.into(),
            status: if made.truth { "True" } else { "False" }.into(),
            reason: (!made.reason.is_empty()).then(|| made.reason.into()),
            message: (!made.message.is_empty()).then_some(made.message),
            observed_generation: pod.metadata.generation,
            ..Default::default()
        });
    }
    out.extend(resizes(facts.resize));
    out
}

/// What is said of resizes, while there is something to say.
fn resizes(resize: &resize::Conditions) -> impl Iterator<Item = core::PodCondition> {
    let made =
        |kind: &str, reason: Option<&str>, message: Option<&String>, generation: i64| core::PodCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: reason.map(Into::into),
            message: message.cloned(),
            observed_generation: Some(generation),
            ..Default::default()
        };
    let pending = resize
        .pending
        .as_ref()
        .map(|p| made("PodResizePending", Some(p.reason), Some(&p.message), p.generation));
    let in_progress = resize.in_progress.as_ref().map(|p| {
        let reason = p.error.as_ref().map(|_| "Error");
        made("PodResizeInProgress", reason, p.error.as_ref(), p.generation)
    });
    pending.into_iter().chain(in_progress)
}

/// `[a b]`, as Go prints a list.
fn list(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn containers_ready(pod: &core::Pod, statuses: &BTreeMap<&str, &core::ContainerStatus>, phase: &str) -> Made {
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for spec in pod.init().iter().filter(|c| is_sidecar(c)).chain(pod.app()) {
        match statuses.get(spec.name.as_str()) {
            None => unknown.push(spec.name.as_str()),
            Some(s) if !s.ready => unready.push(spec.name.as_str()),
            Some(_) => {}
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return no("PodCompleted", String::new());
    }
    if phase == "Failed" {
        return no("PodFailed", String::new());
    }
    let message = [("unknown", unknown), ("unready", unready)]
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("containers with {what} status: {}", list(names)))
        .collect::<Vec<_>>()
        .join(", ");
    if message.is_empty() {
        YES
    } else {
        no("ContainersNotReady", message)
    }
}

fn gates(pod: &core::Pod, conditions: &[core::PodCondition]) -> Made {
    let failing: Vec<String> = pod
        .spec()
        .readiness_gates
        .iter()
        .flatten()
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match conditions.iter().find(|c| c.type_ == *kind) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate {kind:?} does not exist."
                )),
                Some(c) if c.status != "True" => Some(format!(
                    "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                    c.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if failing.is_empty() {
        YES
    } else {
        no("ReadinessGatesNotReady", failing.join(", "))
    }
}

fn initialized(pod: &core::Pod, statuses: &BTreeMap<&str, &core::ContainerStatus>, phase: &str) -> Made {
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for spec in pod.init() {
        match statuses.get(spec.name.as_str()) {
            None => unknown.push(spec.name.as_str()),
            Some(s) => {
                let done = if is_sidecar(spec) {
                    s.started == Some(true)
                } else {
                    s.ready
                };
                if !done {
                    incomplete.push(spec.name.as_str());
                }
            }
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Made {
            truth: true,
            reason: "PodCompleted",
            message: String::new(),
        };
    }
    // An app container that ran proves that the pod was initialized, even while a sidecar restarts.
    let app_ran = pod.app().iter().any(|spec| {
        statuses.get(spec.name.as_str()).is_some_and(|s| {
            let (now, last) = (state(s), s.last_state.as_ref());
            now.running.is_some() || now.terminated.is_some() || last.is_some_and(|l| l.terminated.is_some())
        })
    });
    if app_ran {
        return YES;
    }
    let message = [("unknown", unknown), ("incomplete", incomplete)]
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("containers with {what} status: {}", list(names)))
        .collect::<Vec<_>>()
        .join(", ");
    if message.is_empty() {
        YES
    } else {
        no("ContainersNotInitialized", message)
    }
}
