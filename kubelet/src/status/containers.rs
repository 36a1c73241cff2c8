//! Container statuses: the runtime's containers, the failed starts, and what was known before, in one list.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::arith::quantity::Quantity;

use super::{Facts, time};
use crate::pod::observed::{Container, RunState};
use crate::pod::resources;
use crate::pod::restart;
use crate::pod::spec::{PodExt as _, is_sidecar};

/// The reason of a container that was lost.
pub(super) const STATUS_UNKNOWN: &str = "ContainerStatusUnknown";

/// The statuses of one list of the spec.
pub(super) fn convert(
    facts: &Facts<'_>,
    specs: &[&core::Container],
    old: Option<&[core::ContainerStatus]>,
    is_init: bool,
) -> Vec<core::ContainerStatus> {
    let Facts { pod, seen, .. } = *facts;
    let old: BTreeMap<&str, &core::ContainerStatus> = old
        .unwrap_or_default()
        .iter()
        .map(|s| (s.name.as_str(), s))
        .collect();
    let creating = if pod.init().is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    let any_app = pod
        .app()
        .iter()
        .any(|c| seen.latest(&c.name).is_some_and(|l| l.state != RunState::Unknown));

    let mut out: Vec<core::ContainerStatus> = specs
        .iter()
        .map(|spec| {
            let before = old.get(spec.name.as_str()).copied();
            let mut status = match seen
                .containers
                .iter()
                .filter(|c| *c.name == *spec.name)
                .take(2)
                .collect::<Vec<_>>()[..]
            {
                [] => unseen(facts, spec, before, creating),
                [latest] => seen_status(facts, spec, latest, before),
                [latest, previous, ..] => {
                    let mut status = seen_status(facts, spec, latest, before);
                    status.last_state = seen_status(facts, spec, previous, before).state;
                    status
                }
            };
            failed_start(facts, spec, &mut status, is_init && any_app, is_init);
            status
        })
        .collect();
    if !is_init {
        out.sort_by(|a, b| a.name.cmp(&b.name));
    }
    out
}

/// A container that the runtime does not have.
fn unseen(
    facts: &Facts<'_>,
    spec: &core::Container,
    before: Option<&core::ContainerStatus>,
    creating: &str,
) -> core::ContainerStatus {
    if let Some(before) = before.filter(|b| state(b).terminated.is_some()) {
        return before.clone();
    }
    let mut status = core::ContainerStatus {
        name: spec.name.clone(),
        image: spec.image.clone().unwrap_or_default(),
        state: Some(waiting(creating, "")),
        last_state: Some(core::ContainerState::default()),
        volume_mounts: volume_mounts(facts, spec),
        started: Some(false),
        ..Default::default()
    };
    let Some(before) = before else { return status };
    status.restart_count = before.restart_count;
    status.last_state = Some(before.last_state.clone().unwrap_or_default());
    // It ran and is gone: it ended, with a code that nobody knows.
    let lost =
        state(before).running.is_some() && status.last_state.as_ref().is_some_and(|l| l.terminated.is_none());
    if lost {
        status.last_state = Some(core::ContainerState {
            terminated: Some(core::ContainerStateTerminated {
                reason: Some(STATUS_UNKNOWN.into()),
                message: Some(
                    "The container could not be located when the pod was deleted.  The container used to be Running"
                        .into(),
                ),
                exit_code: 137,
                ..Default::default()
            }),
            ..Default::default()
        });
        if !facts.pod.is_deleting() {
            status.restart_count += 1;
        }
    }
    status
}

/// A container that the runtime has.
fn seen_status(
    facts: &Facts<'_>,
    spec: &core::Container,
    c: &Container,
    before: Option<&core::ContainerStatus>,
) -> core::ContainerStatus {
    let id = format!("{}://{}", facts.runtime, c.id);
    let mut status = core::ContainerStatus {
        name: spec.name.clone(),
        image: c.image.clone(),
        image_id: c.image_ref.clone(),
        container_id: Some(id.clone()),
        restart_count: i32::try_from(c.restart_count).unwrap_or(i32::MAX),
        last_state: Some(core::ContainerState::default()),
        volume_mounts: volume_mounts(facts, spec),
        user: c.user.as_ref().map(user),
        allocated_resources: spec.resources.as_ref().and_then(|r| r.requests.clone()),
        resources: Some(in_force(spec, c)),
        ..Default::default()
    };
    if let Some(before) = before {
        status.restart_count = status.restart_count.max(before.restart_count);
        let ended = state(before)
            .terminated
            .clone()
            .filter(|_| before.container_id != status.container_id);
        let ended = ended.or_else(|| before.last_state.as_ref().and_then(|l| l.terminated.clone()));
        status.last_state = Some(core::ContainerState {
            terminated: ended,
            ..Default::default()
        });
    }
    status.state = Some(match c.state {
        RunState::Running => {
            if let Some(before) = before.filter(|b| b.container_id == status.container_id) {
                status.started = before.started;
            }
            core::ContainerState {
                running: Some(core::ContainerStateRunning {
                    started_at: Some(time(c.started_at)),
                }),
                ..Default::default()
            }
        }
        RunState::Exited => core::ContainerState {
            terminated: Some(core::ContainerStateTerminated {
                exit_code: c.exit_code,
                reason: text(&c.reason),
                message: text(&c.message),
                started_at: since_epoch(c.started_at),
                finished_at: since_epoch(c.finished_at),
                container_id: Some(id),
                ..Default::default()
            }),
            ..Default::default()
        },
        RunState::Unknown if before.is_some_and(|b| state(b).running.is_some()) => {
            status.restart_count = before.map_or(0, |b| b.restart_count) + 1;
            lost_at_termination()
        }
        RunState::Created | RunState::Unknown => waiting("", ""),
    });
    status
}

/// A container that is to be started but could not be waits for the reason of that.
fn failed_start(
    facts: &Facts<'_>,
    spec: &core::Container,
    status: &mut core::ContainerStatus,
    initialized: bool,
    is_init: bool,
) {
    let last = facts.seen.latest(&spec.name);
    if is_init {
        if last.is_some_and(|l| l.state == RunState::Exited && l.exit_code == 0) {
            return;
        }
        if last.is_none() && initialized && !is_sidecar(spec) && state(status).waiting.is_some() {
            status.state = Some(core::ContainerState {
                terminated: Some(core::ContainerStateTerminated {
                    reason: Some("Completed".into()),
                    message: Some(
                        "Unable to get init container status from container runtime and pod has been initialized, \
                         treat it as exited normally"
                            .into(),
                    ),
                    ..Default::default()
                }),
                ..Default::default()
            });
            return;
        }
    }
    if !restart::wanted(spec, facts.pod, last) {
        return;
    }
    let Some((reason, message)) = facts.reasons.get(&spec.name) else {
        return;
    };
    if state(status).terminated.is_some() {
        status.last_state = status.state.take();
    }
    status.state = Some(waiting(reason, message));
}

/// What a container that was never seen to end is said to have done.
pub(super) fn lost_at_termination() -> core::ContainerState {
    core::ContainerState {
        terminated: Some(core::ContainerStateTerminated {
            reason: Some(STATUS_UNKNOWN.into()),
            message: Some("The container could not be located when the pod was terminated".into()),
            exit_code: 137,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Resources in force: the spec's, with what the runtime says of cpu and memory.
fn in_force(spec: &core::Container, c: &Container) -> core::ResourceRequirements {
    let mut out = spec.resources.clone().unwrap_or_default();
    if c.state != RunState::Running {
        return out;
    }
    let millis = |v: i64| Text(Quantity::from_millis(v).to_string());
    let set = |list: &mut BTreeMap<String, Text>, name: &str, value: Option<Text>| {
        if let Some(value) = value {
            list.insert(name.into(), value);
        }
    };
    if let Some(limits) = out.limits.as_mut() {
        let asked = resources::of(Some(limits), "cpu")
            .unwrap_or_default()
            .milli_value();
        let cpu = c.resources.cpu_limit_millis.filter(|v| *v > 10 || asked > 10);
        set(limits, "cpu", cpu.map(millis));
        let memory = c
            .resources
            .memory_limit
            .map(|v| Text(Quantity::from_bytes(v).to_string()));
        set(limits, "memory", memory);
    }
    if let Some(requests) = out.requests.as_mut() {
        let asked = resources::of(Some(requests), "cpu")
            .unwrap_or_default()
            .milli_value();
        let cpu = c.resources.cpu_request_millis.filter(|v| *v > 2 || asked > 2);
        set(requests, "cpu", cpu.map(millis));
    }
    out
}

fn volume_mounts(facts: &Facts<'_>, spec: &core::Container) -> Option<Vec<core::VolumeMountStatus>> {
    let mounts: Vec<_> = spec
        .volume_mounts
        .iter()
        .flatten()
        .map(|m| {
            let read_only = m.read_only == Some(true);
            let recursive = match m.recursive_read_only.as_deref() {
                Some("Enabled") => true,
                Some("IfPossible") => facts.recursive_read_only,
                _ => false,
            };
            core::VolumeMountStatus {
                name: m.name.clone(),
                mount_path: m.mount_path.clone(),
                read_only: m.read_only.filter(|r| *r),
                recursive_read_only: read_only
                    .then(|| if recursive { "Enabled" } else { "Disabled" }.to_owned()),
                ..Default::default()
            }
        })
        .collect();
    super::some(mounts)
}

fn user(user: &crate::pod::observed::User) -> core::ContainerUser {
    core::ContainerUser {
        linux: Some(core::LinuxContainerUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: super::some(user.groups.clone()),
        }),
    }
}

/// A waiting state.
pub(super) fn waiting(reason: &str, message: &str) -> core::ContainerState {
    core::ContainerState {
        waiting: Some(core::ContainerStateWaiting {
            reason: text(reason),
            message: text(message),
        }),
        ..Default::default()
    }
}

/// The state of a status; none at all reads as waiting-less, running-less, terminated-less.
pub(super) fn state(status: &core::ContainerStatus) -> &core::ContainerState {
    static NONE: core::ContainerState = core::ContainerState {
        running: None,
        terminated: None,
        waiting: None,
    };
    status.state.as_ref().unwrap_or(&NONE)
}

fn text(s: &str) -> Option<String> {
    (!s.is_empty()).then(|| s.to_owned())
}

/// The API writes an unset time of an ended container as null, the runtime as the epoch or before.
fn since_epoch(t: Timestamp) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    Some(time(t.max(Timestamp::UNIX_EPOCH)))
}
