//! What has to be set for a pod whose allocated resources differ from the actuated ones, and in which order: pure.
//!
//! Memory before cpu. A pod's cgroup grows before its containers do and shrinks after them, and of the containers those
//! that shrink come first, so that at no time the containers may use more than the pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::arith::quantity::Quantity;

use super::PodResources;
use crate::cgroup::Limits;
use crate::pod::observed::{Observed, RunState};
use crate::pod::plan::{Kill, KillReason, Plan, SandboxPlan, Start};
use crate::pod::resources;
use crate::pod::spec::{Kind, PodExt as _};

/// What a container is held to: thousandths of a core, bytes; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Memory limit.
    pub memory_limit: i64,
    /// Memory request.
    pub memory_request: i64,
    /// CPU limit.
    pub cpu_limit: i64,
    /// CPU request.
    pub cpu_request: i64,
}

impl Effective {
    /// Of a container with these resources, in a pod with those; the pod's limits hold where it has none.
    #[must_use]
    pub fn of(pod: Option<&core::ResourceRequirements>, own: Option<&core::ResourceRequirements>) -> Self {
        let amount = |list: Option<&BTreeMap<String, Text>>, name: &str| {
            resources::of(list, name).filter(|amount| !amount.is_zero())
        };
        let limit = |name: &str| {
            amount(own.and_then(|r| r.limits.as_ref()), name)
                .or_else(|| amount(pod.and_then(|r| r.limits.as_ref()), name))
                .unwrap_or_default()
        };
        let request = |name: &str| amount(own.and_then(|r| r.requests.as_ref()), name).unwrap_or_default();
        Self {
            memory_limit: limit("memory").value(),
            memory_request: request("memory").value(),
            cpu_limit: limit("cpu").milli_value(),
            cpu_request: request("cpu").milli_value(),
        }
    }

    /// As a spec says it.
    #[must_use]
    pub fn requirements(self) -> core::ResourceRequirements {
        let list = |cpu: i64, memory: i64| {
            let cpu = (cpu > 0).then(|| ("cpu".to_owned(), Text(Quantity::from_millis(cpu).to_string())));
            let memory = (memory > 0).then(|| {
                let text = Quantity::from_bytes(memory).to_string();
                ("memory".to_owned(), Text(text))
            });
            let list: BTreeMap<_, _> = cpu.into_iter().chain(memory).collect();
            (!list.is_empty()).then_some(list)
        };
        core::ResourceRequirements {
            limits: list(self.cpu_limit, self.memory_limit),
            requests: list(self.cpu_request, self.memory_request),
            ..Default::default()
        }
    }

    fn with_memory_of(self, other: Self) -> Self {
        Self {
            memory_limit: other.memory_limit,
            memory_request: other.memory_request,
            ..self
        }
    }

    /// The limit counts where it changes, else the request: positive if memory grows.
    fn memory_growth(self, to: Self) -> i64 {
        growth(
            (self.memory_limit, to.memory_limit),
            (self.memory_request, to.memory_request),
        )
    }

    fn cpu_growth(self, to: Self) -> i64 {
        growth((self.cpu_limit, to.cpu_limit), (self.cpu_request, to.cpu_request))
    }
}

fn growth(limit: (i64, i64), request: (i64, i64)) -> i64 {
    if limit.0 == limit.1 {
        request.1 - request.0
    } else {
        limit.1 - limit.0
    }
}

/// A running container that has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it was told last.
    pub from: Effective,
    /// What it is to be told.
    pub to: Effective,
}

/// What has changed of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// Running containers that stay.
    pub changes: Vec<Change>,
    /// Containers that are restarted for it.
    pub restarts: Vec<Arc<str>>,
    /// The pod's cgroup may have to change.
    pub pod: bool,
}

impl Resize {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.restarts.is_empty() && !self.pod
    }
}

/// Compares `pod` (as allocated) with what was actuated. Containers that must restart for it are added to `plan`.
#[must_use]
pub fn compare(pod: &core::Pod, actuated: &PodResources, seen: &Observed, plan: &mut Plan) -> Resize {
    let mut resize = Resize::default();
    if !matches!(plan.sandbox, SandboxPlan::Keep(_)) {
        return resize;
    }
    let level = pod.spec().resources.as_ref();
    let pods = Effective::of(None, level) != Effective::of(None, actuated.pod_level_resources.as_ref());
    resize.pod = pods;
    let init = pod.init().iter().enumerate().map(|(i, c)| (Kind::Init, i, c));
    let app = pod.app().iter().enumerate().map(|(i, c)| (Kind::App, i, c));
    for (kind, index, container) in init.chain(app) {
        let Some(known) = actuated.container_resources.get(&container.name) else {
            continue;
        };
        let from = Effective::of(actuated.pod_level_resources.as_ref(), Some(known));
        let to = Effective::of(level, container.resources.as_ref());
        if from == to {
            continue;
        }
        let start = Start { kind, index };
        let running = seen
            .latest(&container.name)
            .filter(|last| last.state == RunState::Running)
            .filter(|last| !plan.kill.iter().any(|kill| kill.id == last.id));
        let Some(running) = running else {
            resize.pod |= plan.start.contains(&start);
            continue;
        };
        if must_restart(container, from, to) {
            plan.kill.push(Kill {
                id: Arc::clone(&running.id),
                name: Arc::clone(&running.name),
                message: format!("Container {} resize requires restart", container.name),
                reason: KillReason::Other,
            });
            plan.start.push(start);
            resize.restarts.push(Arc::clone(&running.name));
            resize.pod = true;
        } else {
            resize.changes.push(Change {
                id: Arc::clone(&running.id),
                name: Arc::clone(&running.name),
                from,
                to,
            });
        }
    }
    resize
}

fn must_restart(container: &core::Container, from: Effective, to: Effective) -> bool {
    let memory = (from.memory_limit, from.memory_request) != (to.memory_limit, to.memory_request);
    let cpu = (from.cpu_limit, from.cpu_request) != (to.cpu_limit, to.cpu_request);
    container.resize_policy.iter().flatten().any(|policy| {
        policy.restart_policy == "RestartContainer"
            && match policy.resource_name.as_str() {
                "memory" => memory,
                "cpu" => cpu,
                _ => false,
            }
    })
}

/// Whether what runs is not yet held to what is allocated.
#[must_use]
pub fn is_in_progress(pod: &core::Pod, actuated: &PodResources, seen: &Observed) -> bool {
    let level = pod.spec().resources.as_ref();
    let known_level = actuated.pod_level_resources.as_ref();
    if level.is_some()
        && known_level.is_some()
        && Effective::of(None, level) != Effective::of(None, known_level)
    {
        return true;
    }
    pod.init().iter().chain(pod.app()).any(|c| {
        let known = actuated.container_resources.get(&c.name);
        let runs = seen
            .latest(&c.name)
            .is_some_and(|last| last.state == RunState::Running);
        runs && known.is_some_and(|known| {
            Effective::of(known_level, Some(known)) != Effective::of(level, c.resources.as_ref())
        })
    })
}

/// One thing to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Some of the pod's cgroup.
    Pod(Limits),
    /// A container, by its place among the changes.
    Container(usize, Effective),
}

/// In order. The pod's cgroup goes from `now` to `then`; what `then` leaves open stays as it is.
#[must_use]
pub fn steps(resize: &Resize, now: &Limits, then: &Limits) -> Vec<Step> {
    let mut out = Vec::new();
    let memory = |limits: &Limits| limits.memory.filter(|m| *m > 0).unwrap_or(i64::MAX);
    let quota = |limits: &Limits| {
        limits
            .quota
            .map(|(q, _)| q)
            .filter(|q| *q > 0)
            .unwrap_or(i64::MAX)
    };
    let shares = |limits: &Limits| limits.shares.unwrap_or_default();

    let memory_limit = then.memory.map(|_| Limits {
        memory: then.memory,
        ..Limits::default()
    });
    let changed: Vec<usize> = sorted(resize, Effective::memory_growth);
    let containers = changed.iter().filter_map(|place| {
        let change = resize.changes.get(*place)?;
        Some(Step::Container(*place, change.from.with_memory_of(change.to)))
    });
    phase(
        &mut out,
        &[(memory_limit, memory(now).cmp(&memory(then)))],
        containers,
    );

    let cpu_limit = then.quota.map(|_| Limits {
        quota: then.quota,
        ..Limits::default()
    });
    let cpu_shares = then.shares.map(|_| Limits {
        shares: then.shares,
        ..Limits::default()
    });
    let changed: Vec<usize> = sorted(resize, Effective::cpu_growth);
    let containers = changed.iter().filter_map(|place| {
        let change = resize.changes.get(*place)?;
        Some(Step::Container(*place, change.to))
    });
    // Growing, the limit goes before the request, and after it when it shrinks.
    phase(
        &mut out,
        &[
            (cpu_limit, quota(now).cmp(&quota(then))),
            (cpu_shares, shares(now).cmp(&shares(then))),
        ],
        containers,
    );
    out
}

/// The changes of one resource, the largest decrease first.
fn sorted(resize: &Resize, growth: impl Fn(Effective, Effective) -> i64) -> Vec<usize> {
    let grows = |place: &usize| {
        resize
            .changes
            .get(*place)
            .map_or(0, |change| growth(change.from, change.to))
    };
    let mut places: Vec<usize> = (0..resize.changes.len()).filter(|p| grows(p) != 0).collect();
    places.sort_by_key(grows);
    places
}

fn phase<const N: usize>(
    out: &mut Vec<Step>,
    pod: &[(Option<Limits>, std::cmp::Ordering); N],
    containers: impl Iterator<Item = Step>,
) {
    let of = |order: std::cmp::Ordering| {
        let parts = pod.iter().filter(move |(_, way)| *way == order);
        parts.filter_map(|(limits, _)| limits.clone().map(Step::Pod))
    };
    out.extend(of(std::cmp::Ordering::Less));
    out.extend(containers);
    let mut shrinking: Vec<Step> = of(std::cmp::Ordering::Greater).collect();
    shrinking.reverse();
    out.append(&mut shrinking);
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
