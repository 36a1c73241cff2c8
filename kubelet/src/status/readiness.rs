//! `started` and `ready` of each container, out of its state and its probes.

use k8s_openapi::api::core::v1 as core;

use super::Facts;
use super::containers::state;
use crate::pod::plan::Verdicts;
use crate::pod::spec::{PodExt as _, is_sidecar};

/// Fills them in.
pub(super) fn apply(facts: &Facts<'_>, status: &mut core::PodStatus) {
    for c in status.container_statuses.iter_mut().flatten() {
        let Some(spec) = facts.pod.app().iter().find(|s| s.name == c.name) else {
            continue;
        };
        let before = find(facts.old.container_statuses.as_deref(), &c.name);
        one(facts, spec, before, c);
    }
    for c in status.init_container_statuses.iter_mut().flatten() {
        let Some(spec) = facts.pod.init().iter().find(|s| s.name == c.name) else {
            continue;
        };
        let before = find(facts.old.init_container_statuses.as_deref(), &c.name);
        if is_sidecar(spec) {
            one(facts, spec, before, c);
        } else {
            c.started = Some(is_started(spec, c, Verdicts::default()));
            c.ready = state(c).terminated.as_ref().is_some_and(|t| t.exit_code == 0);
        }
    }
}

fn find<'a>(list: Option<&'a [core::ContainerStatus]>, name: &str) -> Option<&'a core::ContainerStatus> {
    list.unwrap_or_default().iter().find(|s| s.name == name)
}

fn one(
    facts: &Facts<'_>,
    spec: &core::Container,
    before: Option<&core::ContainerStatus>,
    status: &mut core::ContainerStatus,
) {
    let running = facts.seen.latest(&spec.name);
    let said = running
        .and_then(|c| facts.verdicts.get(&c.id))
        .copied()
        .unwrap_or_default();
    let started = is_started(spec, status, said);
    status.started = Some(started);
    status.ready = started
        && match said.readiness {
            Some(ready) => ready,
            None if spec.readiness_probe.is_none() => true,
            // Ran before this kubelet did: what was true stays true until a probe says otherwise.
            None => {
                running.is_some_and(|c| c.started_at < facts.kubelet_started)
                    && before.is_some_and(|b| b.ready && b.container_id == status.container_id)
            }
        };
}

fn is_started(spec: &core::Container, status: &core::ContainerStatus, said: Verdicts) -> bool {
    state(status).running.is_some()
        && match said.startup {
            Some(up) => up,
            None => status.started == Some(true) || spec.startup_probe.is_none(),
        }
}
