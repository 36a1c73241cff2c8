//! VolumeBinding: a pod's claims must be bound, to volumes that its node can reach.

use machinery::arith::node_affinity::{self, Term};
use serde::Deserialize;

use super::claims;
use crate::api::pod::Claim;
use crate::cache::Snapshot;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{
    Action, ClusterEvent, Code, CycleState, EventResource, PASS, Plugin, PodView, Sieve, Status,
};

/// `VolumeBindingArgs`. Both say how claims that wait for a pod are bound, which is not done yet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    #[serde(rename = "bindTimeoutSeconds")]
    _bind_timeout_seconds: Option<u64>,
    #[serde(rename = "shape")]
    _shape: Vec<serde_json::Value>,
}

pub struct VolumeBinding;

impl VolumeBinding {
    #[allow(clippy::needless_pass_by_value)] // as all plugins are made
    pub fn new(_: Args) -> Self {
        Self
    }
}

/// Where the pod's volumes can be reached: for each with an affinity, the terms of which one must hold.
struct Reachable {
    terms: Vec<Box<[Term]>>,
    /// Whether a volume is gone.
    missing: bool,
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl PreFilterPlugin for VolumeBinding {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        if view.shape.body.claims.is_empty() {
            return Ok(PreFilter::Skip);
        }
        let volumes = snapshot.volumes();
        let mut reachable = Reachable {
            terms: Vec::new(),
            missing: false,
        };
        let (mut immediate, mut waiting) = (false, None);
        for (key, of_pod) in claims(view).iter().zip(&view.shape.body.claims) {
            let name = &key.name;
            let Some(claim) = volumes.claim(key) else {
                return Err(Status::unresolvable(match of_pod {
                    Claim::Named(_) => format!("persistentvolumeclaim {name:?} not found"),
                    Claim::Ephemeral(_) => {
                        format!(
                            "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                        )
                    }
                }));
            };
            let volume = claim.volume.clone().unwrap_or_default();
            if claim.lost {
                let why = format!(
                    "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                );
                return Err(Status::unresolvable(why));
            }
            if claim.meta.is_deleting() {
                return Err(Status::unresolvable(format!(
                    "persistentvolumeclaim {name:?} is being deleted"
                )));
            }
            if !claim.bound {
                let waits = volumes
                    .class(&claim.class)
                    .is_some_and(|class| class.waits_for_consumer());
                match (waits, &claim.volume) {
                    (true, None) => waiting = Some(name.clone()),
                    _ => immediate = true,
                }
                continue;
            }
            match volumes.volume(&volume) {
                None => reachable.missing = true,
                Some(volume) => {
                    let required = volume
                        .spec
                        .node_affinity
                        .as_ref()
                        .and_then(|affinity| affinity.required.as_ref());
                    reachable.terms.extend(required.map(node_affinity::terms));
                }
            }
        }
        if immediate {
            return Err(Status::unresolvable(
                "pod has unbound immediate PersistentVolumeClaims",
            ));
        }
        if let Some(name) = waiting {
            return Err(Status::unresolvable(format!(
                "persistentvolumeclaim {name:?} waits for its first consumer, which this scheduler cannot bind yet"
            )));
        }
        state.cycle.put(reachable);
        Ok(PreFilter::All)
    }
}

impl FilterPlugin for VolumeBinding {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        // Claims change apart from the rows.
        Reach::Cluster
    }

    fn filter(&self, _: &PodView<'_>, snapshot: &Snapshot, state: &CycleState, sieve: &mut Sieve<'_>) {
        let Some(reachable) = state.cycle.get::<Reachable>() else {
            return;
        };
        let code = Code::UnschedulableAndUnresolvable;
        if reachable.missing {
            let gone = sieve.verdict(
                code,
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            );
            sieve.judge(|_| gone);
        }
        let conflict = sieve.verdict(code, "node(s) didn't match PersistentVolume's node affinity");
        let rows = snapshot.rows();
        for terms in &reachable.terms {
            sieve.judge(|row| {
                let matches = |term: &Term| term.matches(rows.name(row), |key| rows.label(row, key));
                if terms.iter().any(matches) { PASS } else { conflict }
            });
        }
    }
}

impl EnqueueExtensions for VolumeBinding {
    fn events(&self) -> Vec<ClusterEvent> {
        let changed = Action::ADD.or(Action::UPDATE);
        vec![
            ClusterEvent::new(EventResource::StorageClass, changed),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, changed),
            ClusterEvent::new(EventResource::PersistentVolume, changed),
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_LABEL)),
        ]
    }
}
