//! VolumeZone: a volume that is labelled with zones or regions is used there.

use machinery::meta::Istr;

use super::claims;
use crate::cache::Snapshot;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{
    Action, ClusterEvent, Code, CycleState, EventResource, PASS, Plugin, PodView, Sieve, Status,
};

/// Labels that say where a volume is, and what nodes may say for them.
const LABELS: [(&str, &str); 4] = [
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub struct VolumeZone;

/// Label keys, what they are called now, and the values of which nodes must have one.
struct Zones(Vec<(&'static str, &'static str, Vec<Istr>)>);

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
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

impl PreFilterPlugin for VolumeZone {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        if view.shape.body.claims.is_empty() {
            return Ok(PreFilter::Skip);
        }
        let mut zones = Vec::new();
        for key in claims(view) {
            let claim = snapshot.volumes().claim(&key);
            let volume = claim.and_then(|claim| snapshot.volumes().volume(claim.volume.as_deref()?));
            for (label, now) in LABELS {
                if let Some(values) = volume.and_then(|volume| volume.metadata.labels.get(label)) {
                    zones.push((label, now, values.split("__").map(Istr::from).collect()));
                }
            }
        }
        if zones.is_empty() {
            return Ok(PreFilter::Skip);
        }
        state.cycle.put(Zones(zones));
        Ok(PreFilter::All)
    }
}

impl FilterPlugin for VolumeZone {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Cluster
    }

    fn filter(&self, _: &PodView<'_>, snapshot: &Snapshot, state: &CycleState, sieve: &mut Sieve<'_>) {
        let Some(Zones(zones)) = state.cycle.get::<Zones>() else {
            return;
        };
        let elsewhere = sieve.verdict(
            Code::UnschedulableAndUnresolvable,
            "node(s) had no available volume zone",
        );
        let rows = snapshot.rows();
        sieve.judge(|row| {
            // A cluster of one zone may have no labels at all.
            if LABELS.iter().all(|(label, _)| rows.label(row, label).is_none()) {
                return PASS;
            }
            let fits = |(label, now, values): &(&str, &str, Vec<Istr>)| {
                let value = rows.label(row, label).or_else(|| rows.label(row, now));
                value.is_some_and(|value| values.iter().any(|one| one == value))
            };
            if zones.iter().all(fits) { PASS } else { elsewhere }
        });
    }
}

impl EnqueueExtensions for VolumeZone {
    fn events(&self) -> Vec<ClusterEvent> {
        let changed = Action::ADD.or(Action::UPDATE);
        vec![
            ClusterEvent::new(EventResource::StorageClass, Action::ADD),
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_LABEL)),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, changed),
            ClusterEvent::new(EventResource::PersistentVolume, changed),
        ]
    }
}
