//! Init containers: one after the other until each is done; sidecars among them are kept running from then on.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use super::observed::{Container, Observed, RunState};
use super::plan::{ByContainer, Kill, KillReason, Plan, Start, changed, kill_unknown};
use super::restart;
use super::spec::{Kind, PodExt as _, is_sidecar};

/// How far initialization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// App containers may run.
    Done,
    /// Not yet.
    Pending,
    /// It failed for good.
    Failed,
}

/// Adds what init containers need to `out`.
pub fn plan(pod: &core::Pod, seen: &Observed, verdicts: &ByContainer, out: &mut Plan) -> Progress {
    let init = pod.init();
    if init.is_empty() {
        return Progress::Done;
    }
    // An app container in this sandbox proves that initialization was done, whatever is left of the init containers.
    let any_app = pod.app().iter().any(|c| {
        seen.active(&c.name)
            .is_some_and(|a| matches!(a.state, RunState::Running | RunState::Exited))
    });
    let mut done = any_app;
    let mut later_seen = any_app;
    let mut starts = Vec::new();

    // From the last one back: the last that left a trace tells how far initialization came.
    for (index, container) in init.iter().enumerate().rev() {
        let sidecar = is_sidecar(container);
        let start = Start {
            kind: Kind::Init,
            index,
        };
        let Some(last) = seen.active(&container.name) else {
            if later_seen && sidecar {
                starts.push(start);
            }
            continue;
        };
        if later_seen && !sidecar {
            continue;
        }
        let mut advance = || {
            if index + 1 == init.len() {
                done = true;
            } else if !later_seen {
                starts.push(Start {
                    kind: Kind::Init,
                    index: index + 1,
                });
            }
        };
        match last.state {
            RunState::Created => starts.push(start),
            RunState::Running if sidecar => match sidecar_state(container, last, verdicts) {
                Sidecar::Starting => {}
                Sidecar::Up => advance(),
                Sidecar::Unfit { why, reason, came_up } => {
                    if came_up {
                        advance();
                    }
                    out.kill.push(Kill {
                        id: Arc::clone(&last.id),
                        name: Arc::clone(&last.name),
                        message: format!("Init container {} {why}", container.name),
                        reason,
                    });
                    starts.push(start);
                }
            },
            RunState::Running => {}
            RunState::Exited if sidecar => starts.push(start),
            RunState::Exited if last.exit_code == 0 => advance(),
            RunState::Exited => {
                if !restart::after_exit(container, pod, last.exit_code) {
                    return Progress::Failed;
                }
                starts.push(start);
            }
            RunState::Unknown => {
                if !sidecar && !restart::on_failure(container, pod) {
                    return Progress::Failed;
                }
                out.kill.push(kill_unknown(last, "Init container"));
                starts.push(start);
            }
        }
        later_seen = true;
    }
    if !later_seen {
        starts.push(Start {
            kind: Kind::Init,
            index: 0,
        });
    }
    starts.sort_by_key(|s| s.index);
    starts.dedup();
    out.start.append(&mut starts);
    if done { Progress::Done } else { Progress::Pending }
}

enum Sidecar {
    /// Its startup probe has not decided.
    Starting,
    /// It is up.
    Up,
    /// It has to be started again.
    Unfit {
        why: &'static str,
        reason: KillReason,
        came_up: bool,
    },
}

fn sidecar_state(container: &core::Container, running: &Container, verdicts: &ByContainer) -> Sidecar {
    let said = verdicts.get(&running.id).copied().unwrap_or_default();
    if container.startup_probe.is_some() {
        match said.startup {
            None => return Sidecar::Starting,
            Some(false) => {
                return Sidecar::Unfit {
                    why: "failed startup probe",
                    reason: KillReason::Startup,
                    came_up: false,
                };
            }
            Some(true) => {}
        }
    }
    if changed(container, running) {
        return Sidecar::Unfit {
            why: "definition changed",
            reason: KillReason::Other,
            came_up: true,
        };
    }
    if container.liveness_probe.is_some() && said.liveness == Some(false) {
        return Sidecar::Unfit {
            why: "failed liveness probe",
            reason: KillReason::Liveness,
            came_up: true,
        };
    }
    Sidecar::Up
}
