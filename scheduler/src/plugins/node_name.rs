//! NodeName: a pod that names its node goes nowhere else.

use crate::cache::{RowSet, Snapshot};
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{
    Action, ClusterEvent, Code, CycleState, EventResource, PASS, Plugin, PodView, Sieve, Status,
};

pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
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

impl PreFilterPlugin for NodeName {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        _: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        Ok(match &view.pod.node_name {
            None => PreFilter::Skip,
            Some(node) => PreFilter::Only(RowSet::of(snapshot.rows().find(node))),
        })
    }
}

impl FilterPlugin for NodeName {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        // The name is the pod's own and not its shape's.
        Reach::Cluster
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let Some(node) = &view.pod.node_name else { return };
        let wrong = sieve.verdict(
            Code::UnschedulableAndUnresolvable,
            "node(s) didn't match the requested node name",
        );
        sieve.judge(|row| {
            if snapshot.rows().name(row) == node {
                PASS
            } else {
                wrong
            }
        });
    }
}

impl EnqueueExtensions for NodeName {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, Action::ADD)]
    }
}
