//! What to do for a pod that is wanted: pure.
//!
//! In: the pod, what the runtime shows of it, what the probes say. Out: what to kill and what to start, in order.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use rustc_hash::FxHashMap;

use super::observed::{Container, Observed, RunState};
use super::spec::{self, Kind, PodExt as _};
use super::{plan_init, restart};
use crate::cri::hash;

/// What the probes of one container (by its id) have decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Whether it came up: `None` before the first decision.
    pub startup: Option<bool>,
    /// Whether it is alive.
    pub liveness: Option<bool>,
    /// Whether it may get traffic.
    pub readiness: Option<bool>,
}

/// Decisions by container id.
pub type ByContainer = FxHashMap<Arc<str>, Verdicts>;

/// Why a container is killed; it decides the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Its startup probe failed.
    Startup,
    /// Its liveness probe failed.
    Liveness,
    /// Its postStart hook failed.
    PostStart,
    /// Anything else.
    Other,
}

/// A container to kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// For the event.
    pub message: String,
    /// For the grace period.
    pub reason: KillReason,
}

/// A container to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The list it is in.
    pub kind: Kind,
    /// Its place there.
    pub index: usize,
}

impl Start {
    /// The container's spec.
    #[must_use]
    pub fn spec(self, pod: &core::Pod) -> Option<core::Container> {
        match self.kind {
            Kind::Init => pod.init().get(self.index).cloned(),
            Kind::App => pod.app().get(self.index).cloned(),
            Kind::Ephemeral => pod
                .spec()
                .ephemeral_containers
                .as_ref()?
                .get(self.index)
                .map(spec::from_ephemeral),
        }
    }
}

/// What happens to the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxPlan {
    /// It stays.
    Keep(Arc<str>),
    /// A new one is made, this attempt; containers of an old one are killed first.
    Create {
        /// Its attempt.
        attempt: u32,
        /// There was one before.
        replaces: bool,
    },
    /// None is needed any more: what is left is stopped.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The sandbox.
    pub sandbox: SandboxPlan,
    /// Containers to kill, the sandbox staying.
    pub kill: Vec<Kill>,
    /// Containers to start, in this order.
    pub start: Vec<Start>,
}

impl Plan {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.sandbox, SandboxPlan::Keep(_)) && self.kill.is_empty() && self.start.is_empty()
    }
}

/// Why the pod needs another sandbox, with the attempt that it will be.
#[must_use]
pub fn sandbox_change(pod: &core::Pod, seen: &Observed) -> Option<(u32, &'static str)> {
    let Some(latest) = seen.sandboxes.first() else {
        return Some((0, "no pod sandbox exists"));
    };
    let next = latest.attempt + 1;
    if seen.sandboxes.iter().filter(|s| s.ready).count() > 1 {
        return Some((next, "multiple pod sandboxes are ready and need to be reconciled"));
    }
    if !latest.ready {
        return Some((next, "pod sandbox is not ready"));
    }
    if latest.host_network != pod.host_network() {
        return Some((
            next,
            "network namespace mode changed and sandbox needs to be recreated",
        ));
    }
    if !pod.host_network() && latest.has_network && latest.ips.is_empty() {
        return Some((next, "pod sandbox has no IP address"));
    }
    None
}

/// The plan for a pod that is not being deleted.
#[must_use]
pub fn plan(pod: &core::Pod, seen: &Observed, verdicts: &ByContainer) -> Plan {
    if let Some((attempt, _)) = sandbox_change(pod, seen) {
        return from_scratch(pod, seen, attempt);
    }
    let sandbox = seen
        .sandboxes
        .first()
        .map(|s| Arc::clone(&s.id))
        .unwrap_or_default();
    let mut out = Plan {
        sandbox: SandboxPlan::Keep(sandbox),
        kill: Vec::new(),
        start: Vec::new(),
    };

    for (index, c) in pod.spec().ephemeral_containers.iter().flatten().enumerate() {
        if seen.latest(&c.name).is_none() {
            out.start.push(Start {
                kind: Kind::Ephemeral,
                index,
            });
        }
    }
    match plan_init::plan(pod, seen, verdicts, &mut out) {
        plan_init::Progress::Failed => {
            return Plan {
                sandbox: SandboxPlan::Stop,
                kill: Vec::new(),
                start: Vec::new(),
            };
        }
        plan_init::Progress::Pending => return out,
        plan_init::Progress::Done => {}
    }

    let mut keep = 0;
    let mut starts = Vec::new();
    for (index, container) in pod.app().iter().enumerate() {
        let start = Start {
            kind: Kind::App,
            index,
        };
        match seen.latest(&container.name) {
            Some(last) if last.state == RunState::Running => match unfit(container, last, pod, verdicts) {
                None => keep += 1,
                Some((kill, again)) => {
                    out.kill.push(kill);
                    if again {
                        starts.push(start);
                    }
                }
            },
            last => {
                if restart::wanted(container, pod, last) {
                    starts.push(start);
                    if let Some(last) = last.filter(|l| l.state == RunState::Unknown) {
                        out.kill.push(kill_unknown(last, "Container"));
                    }
                }
            }
        }
    }
    if keep == 0 && starts.is_empty() {
        return Plan {
            sandbox: SandboxPlan::Stop,
            kill: Vec::new(),
            start: Vec::new(),
        };
    }
    out.start.append(&mut starts);
    out
}

/// A new sandbox: everything starts over, but for what must not run again.
fn from_scratch(pod: &core::Pod, seen: &Observed, attempt: u32) -> Plan {
    let stop = Plan {
        sandbox: SandboxPlan::Stop,
        kill: Vec::new(),
        start: Vec::new(),
    };
    if pod.restart_policy() == "Never" && attempt != 0 && !seen.containers.is_empty() {
        return stop;
    }
    let succeeded = |c: &core::Container| {
        seen.latest(&c.name)
            .is_some_and(|l| l.state == RunState::Exited && l.exit_code == 0)
    };
    let start: Vec<Start> = pod
        .app()
        .iter()
        .enumerate()
        .filter(|(_, c)| {
            let policy = c
                .restart_policy
                .as_deref()
                .unwrap_or_else(|| pod.restart_policy());
            !(policy == "OnFailure" && succeeded(c))
        })
        .map(|(index, _)| Start {
            kind: Kind::App,
            index,
        })
        .collect();
    let any_app_made = pod
        .app()
        .iter()
        .any(|c| seen.latest(&c.name).is_some_and(|l| l.state != RunState::Unknown));
    if start.is_empty() && any_app_made {
        return stop;
    }
    let start = if pod.init().is_empty() {
        start
    } else {
        vec![Start {
            kind: Kind::Init,
            index: 0,
        }]
    };
    Plan {
        sandbox: SandboxPlan::Create {
            attempt,
            replaces: !seen.sandboxes.is_empty(),
        },
        kill: Vec::new(),
        start,
    }
}

/// Why a running app container has to go, and whether it comes back.
fn unfit(
    container: &core::Container,
    running: &Container,
    pod: &core::Pod,
    verdicts: &ByContainer,
) -> Option<(Kill, bool)> {
    let said = verdicts.get(&running.id).copied().unwrap_or_default();
    let (why, reason, again) = if changed(container, running) {
        ("definition changed", KillReason::Other, true)
    } else if said.liveness == Some(false) {
        (
            "failed liveness probe",
            KillReason::Liveness,
            restart::on_failure(container, pod),
        )
    } else if said.startup == Some(false) {
        (
            "failed startup probe",
            KillReason::Startup,
            restart::on_failure(container, pod),
        )
    } else {
        return None;
    };
    let tail = if again { ", will be restarted" } else { "" };
    let message = format!("Container {} {why}{tail}", container.name);
    Some((
        Kill {
            id: Arc::clone(&running.id),
            name: Arc::clone(&running.name),
            message,
            reason,
        },
        again,
    ))
}

/// The container was made from another name or image.
#[must_use]
pub fn changed(container: &core::Container, running: &Container) -> bool {
    running.hash != hash::container(&container.name, container.image.as_deref().unwrap_or_default())
}

/// A container that may or may not run is killed before another is started.
#[must_use]
pub fn kill_unknown(last: &Container, what: &str) -> Kill {
    Kill {
        id: Arc::clone(&last.id),
        name: Arc::clone(&last.name),
        message: format!("{what} is in \"unknown\" state, try killing it before restart"),
        reason: KillReason::Other,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
