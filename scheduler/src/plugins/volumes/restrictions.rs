//! VolumeRestrictions: a claim that is for one pod alone (`ReadWriteOncePod`) is used by one pod alone.

use super::claims;
use crate::cache::Snapshot;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{
    Action, ClusterEvent, Code, CycleState, EventResource, Plugin, PodView, Sieve, Status,
};

pub struct VolumeRestrictions;

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
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

impl PreFilterPlugin for VolumeRestrictions {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        _: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        let volumes = snapshot.volumes();
        let taken = claims(view)
            .iter()
            .any(|key| volumes.claim(key).is_some_and(|claim| claim.one_pod) && volumes.users(key) > 0);
        Ok(if taken { PreFilter::All } else { PreFilter::Skip })
    }
}

impl FilterPlugin for VolumeRestrictions {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Cluster
    }

    fn filter(&self, _: &PodView<'_>, _: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let taken = sieve.verdict(
            Code::Unschedulable,
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
        );
        sieve.judge(|_| taken);
    }
}

impl EnqueueExtensions for VolumeRestrictions {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::AssignedPod, Action::DELETE),
            ClusterEvent::new(EventResource::Node, Action::ADD),
            ClusterEvent::new(
                EventResource::PersistentVolumeClaim,
                Action::ADD.or(Action::UPDATE),
            ),
        ]
    }
}
