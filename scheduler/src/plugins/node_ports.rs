//! NodePorts: host ports must be free on the node.

use crate::cache::{Snapshot, ports_clash};
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{
    Action, Change, ClusterEvent, Code, CycleState, EventResource, Hint, Occurrence, PASS, Plugin, PodView,
    Sieve, Status,
};

pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
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

impl PreFilterPlugin for NodePorts {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        _: &mut Snapshot,
        _: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        Ok(if view.shape.body.host_ports.is_empty() {
            PreFilter::Skip
        } else {
            PreFilter::All
        })
    }
}

impl FilterPlugin for NodePorts {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let wanted = &view.shape.body.host_ports;
        let verdict = sieve.verdict(
            Code::Unschedulable,
            "node(s) didn't have free ports for the requested pod ports",
        );
        sieve.judge(|row| {
            if snapshot.rows().ports_clash(row, wanted) {
                verdict
            } else {
                PASS
            }
        });
    }
}

impl EnqueueExtensions for NodePorts {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::AssignedPod, Action::DELETE),
            ClusterEvent::new(EventResource::Node, Action::ADD),
        ]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, _: &Snapshot) -> Hint {
        let Change::Pod { old: Some(gone), .. } = &occurrence.change else {
            return Hint::Queue;
        };
        let wanted = &view.shape.body.host_ports;
        let freed = gone
            .body
            .host_ports
            .iter()
            .any(|held| wanted.iter().any(|port| ports_clash(port, held)));
        if freed { Hint::Queue } else { Hint::Skip }
    }
}
