//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use machinery::arith::taint::{Taint, TaintEffect, Toleration};

use crate::cache::Snapshot;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, Reach};
use crate::framework::{
    Action, Change, ClusterEvent, Code, CycleState, EventResource, Hint, Occurrence, PASS, Plugin, PodView,
    Sieve,
};

pub struct NodeUnschedulable;

fn tolerates(tolerations: &[Toleration]) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: "".into(),
        effect: TaintEffect::NoSchedule,
        time_added: None,
    };
    tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl FilterPlugin for NodeUnschedulable {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let cordoned = &snapshot.rows().unschedulable;
        if cordoned.is_empty() || tolerates(&view.shape.tolerations) {
            return;
        }
        let verdict = sieve.verdict(Code::UnschedulableAndUnresolvable, "node(s) were unschedulable");
        sieve.judge(|row| if cordoned.contains(row) { verdict } else { PASS });
    }
}

impl EnqueueExtensions for NodeUnschedulable {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_TAINT)),
            ClusterEvent::new(EventResource::TargetPod, Action::POD_TOLERATION),
        ]
    }

    fn hint(&self, _: &PodView<'_>, occurrence: &Occurrence, _: &Snapshot) -> Hint {
        let helps = match &occurrence.change {
            Change::Node { old, new: Some(new) } => {
                !new.unschedulable && old.as_ref().is_none_or(|old| old.unschedulable)
            }
            Change::Pod { new: Some(new), .. } => tolerates(&new.body.tolerations),
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }
}
