//! SchedulingGates: a pod with gates stays out of the active queue until they are taken away.

use crate::api::Pod;
use crate::framework::plugin::{EnqueueExtensions, PreEnqueue};
use crate::framework::{Action, ClusterEvent, EventResource, Plugin, Status};

pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }
    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Status> {
        let gates = &pod.body.scheduling_gates;
        if gates.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = gates.iter().map(|gate| gate.as_str()).collect();
        Err(Status::unresolvable(format!(
            "waiting for scheduling gates: [{}]",
            names.join(" ")
        )))
    }
}

impl EnqueueExtensions for SchedulingGates {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(
            EventResource::TargetPod,
            Action::POD_GATES_ELIMINATED,
        )]
    }
}
