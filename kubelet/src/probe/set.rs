//! All probes of a pod's running containers.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use rustc_hash::FxHashMap;

use super::{Kind, Machine, Outcome, Settings};
use crate::pod::observed::{Observed, RunState};
use crate::pod::plan::{ByContainer, Verdicts};
use crate::pod::spec::{PodExt as _, is_sidecar};

/// One probe of one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The container's id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Which probe.
    pub kind: Kind,
}

/// The machines of one pod.
#[derive(Debug, Default)]
pub struct Probes {
    machines: FxHashMap<Key, Machine>,
}

impl Probes {
    /// Makes a machine for each probe of each container that runs, and drops those of containers that do not.
    /// Containers that were started before `kubelet_started` keep what `status` says of them until a probe decides.
    /// A pod that ends has only its readiness probed.
    pub fn follow(
        &mut self,
        pod: &core::Pod,
        seen: &Observed,
        status: &core::PodStatus,
        kubelet_started: Timestamp,
        ends: bool,
    ) {
        let running = |name: &str| seen.latest(name).filter(|c| c.state == RunState::Running);
        self.machines.retain(|key, _| {
            running(&key.name).is_some_and(|c| c.id == key.id) && !(ends && key.kind != Kind::Readiness)
        });
        for spec in pod
            .app()
            .iter()
            .chain(pod.init().iter().filter(|c| is_sidecar(c)))
        {
            let Some(container) = running(&spec.name) else {
                continue;
            };
            for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
                let Some(probe) = kind.of(spec) else { continue };
                if ends && kind != Kind::Readiness {
                    continue;
                }
                let key = Key {
                    id: Arc::clone(&container.id),
                    name: Arc::clone(&container.name),
                    kind,
                };
                self.machines.entry(key).or_insert_with(|| {
                    let known = (container.started_at < kubelet_started)
                        .then(|| known(status, &container.id, kind))
                        .flatten();
                    Machine::new(kind, Settings::of(probe), container.started_at, known)
                });
            }
        }
    }

    /// The probes that are due, and when the next one is.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> (Vec<Key>, Option<Timestamp>) {
        let (mut ready, mut next) = (Vec::new(), None::<Timestamp>);
        for (key, machine) in &self.machines {
            match machine.due(self.is_started(&key.id)) {
                Some(at) if at <= now => ready.push(key.clone()),
                Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
                None => {}
            }
        }
        (ready, next)
    }

    /// An attempt begins: how long it may take.
    pub fn begin(&mut self, key: &Key, now: Timestamp) -> Option<std::time::Duration> {
        let machine = self.machines.get_mut(key)?;
        machine.begin(now);
        Some(machine.timeout())
    }

    /// An attempt has ended; whether a verdict is another one now.
    pub fn absorb(&mut self, key: &Key, outcome: &Outcome, now: Timestamp) -> bool {
        self.machines.get_mut(key).is_some_and(|m| m.absorb(outcome, now))
    }

    /// Whether the attempt under way is beside the probe's rhythm, so that its failure is no news.
    #[must_use]
    pub fn is_extra(&self, key: &Key) -> bool {
        self.machines.get(key).is_some_and(Machine::is_extra)
    }

    /// What has been decided.
    #[must_use]
    pub fn verdicts(&self) -> ByContainer {
        let mut out = ByContainer::default();
        for (key, machine) in &self.machines {
            let said: &mut Verdicts = out.entry(Arc::clone(&key.id)).or_default();
            match key.kind {
                Kind::Startup => said.startup = machine.verdict(),
                Kind::Liveness => said.liveness = machine.verdict(),
                Kind::Readiness => said.readiness = machine.verdict(),
            }
        }
        out
    }

    fn is_started(&self, id: &Arc<str>) -> bool {
        let startup = self
            .machines
            .iter()
            .find(|(k, _)| k.kind == Kind::Startup && k.id == *id);
        startup.is_none_or(|(_, machine)| machine.verdict() == Some(true))
    }
}

/// What the last status says of a container from before this kubelet.
fn known(status: &core::PodStatus, id: &str, kind: Kind) -> Option<bool> {
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|s| {
        s.container_id
            .as_deref()
            .and_then(|c| c.split_once("://"))
            .is_some_and(|(_, i)| i == id)
    })?;
    match kind {
        // Only what was good is kept: a container that was not up or not ready has to show itself again.
        Kind::Startup => (found.started == Some(true)).then_some(true),
        Kind::Readiness => found.ready.then_some(true),
        Kind::Liveness => None,
    }
}
