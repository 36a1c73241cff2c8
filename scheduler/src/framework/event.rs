//! What happens in the cluster, as far as it may let a pod be scheduled that could not be before.

use std::sync::Arc;

use crate::api::{Node, Pod};

/// What kind of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventResource {
    /// A pod that has a node.
    AssignedPod,
    /// The pending pod itself.
    TargetPod,
    /// Another pod without a node.
    UnscheduledPod,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CsiNode,
    /// Anything: such an event moves every pod.
    Any,
}

impl EventResource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AssignedPod => "AssignedPod",
            Self::TargetPod => "TargetPod",
            Self::UnscheduledPod => "UnscheduledPod",
            Self::Node => "Node",
            Self::PersistentVolume => "PersistentVolume",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::StorageClass => "storage.k8s.io/StorageClass",
            Self::CsiNode => "storage.k8s.io/CSINode",
            Self::Any => "*",
        }
    }
}

/// What happened to it: a set of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action(u32);

impl Action {
    pub const ADD: Self = Self(1);
    pub const DELETE: Self = Self(1 << 1);
    pub const NODE_ALLOCATABLE: Self = Self(1 << 2);
    pub const NODE_LABEL: Self = Self(1 << 3);
    pub const NODE_TAINT: Self = Self(1 << 4);
    pub const NODE_CONDITION: Self = Self(1 << 5);
    pub const NODE_DECLARED_FEATURE: Self = Self(1 << 6);
    pub const POD_LABEL: Self = Self(1 << 7);
    pub const POD_SCALE_DOWN: Self = Self(1 << 8);
    pub const POD_SCALE_UP: Self = Self(1 << 9);
    pub const POD_TOLERATION: Self = Self(1 << 10);
    pub const POD_GATES_ELIMINATED: Self = Self(1 << 11);
    /// A change that has no name of its own.
    pub const OTHER_UPDATE: Self = Self(1 << 12);
    /// Every change.
    pub const UPDATE: Self = Self(0b1_1111_1111_1100);
    /// Everything.
    pub const ALL: Self = Self(0b1_1111_1111_1111);

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn name(self) -> &'static str {
        match self {
            Self::ADD => "Add",
            Self::DELETE => "Delete",
            Self::NODE_ALLOCATABLE => "UpdateNodeAllocatable",
            Self::NODE_LABEL => "UpdateNodeLabel",
            Self::NODE_TAINT => "UpdateNodeTaint",
            Self::NODE_CONDITION => "UpdateNodeCondition",
            Self::NODE_DECLARED_FEATURE => "UpdateNodeDeclaredFeature",
            Self::POD_LABEL => "UpdatePodLabel",
            Self::POD_SCALE_DOWN => "UpdatePodScaleDown",
            Self::POD_SCALE_UP => "UpdatePodScaleUp",
            Self::POD_TOLERATION => "UpdatePodToleration",
            Self::POD_GATES_ELIMINATED => "UpdatePodSchedulingGatesEliminated",
            _ => "Update",
        }
    }
}

/// A kind of event, either that one happened or that a plugin wants to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterEvent {
    pub resource: EventResource,
    pub action: Action,
}

impl ClusterEvent {
    /// The event that moves every pod, whatever turned it down.
    pub const EVERYTHING: Self = Self::new(EventResource::Any, Action::ALL);

    pub const fn new(resource: EventResource, action: Action) -> Self {
        Self { resource, action }
    }

    /// Whether a plugin that registered `self` hears of `happened`.
    pub fn covers(&self, happened: &ClusterEvent) -> bool {
        (self.resource == EventResource::Any || self.resource == happened.resource)
            && self.action.meets(happened.action)
    }

    /// Upstream's name for it in metrics, such as `NodeAdd`.
    pub fn label(&self) -> String {
        if self.resource == EventResource::Any {
            return "*".to_owned();
        }
        let name = self.action.name();
        // Updates of nodes and pods name the kind themselves.
        if name.starts_with("UpdateNode") || name.starts_with("UpdatePod") {
            format!(
                "{}{name}",
                if self.resource == EventResource::Node {
                    ""
                } else {
                    self.resource.as_str()
                }
            )
        } else {
            format!("{}{name}", self.resource.as_str())
        }
    }
}

/// The objects of an event.
#[derive(Clone, Debug)]
pub enum Change {
    Node {
        old: Option<Arc<Node>>,
        new: Option<Arc<Node>>,
    },
    Pod {
        old: Option<Arc<Pod>>,
        new: Option<Arc<Pod>>,
    },
    /// The kind says enough.
    Other,
}

/// An event that happened.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub event: ClusterEvent,
    pub change: Change,
}

/// Whether an event may let a pod be scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Queue,
    Skip,
}

/// The events that a change of a node makes; none when nothing changed that is scheduled by.
pub fn node_events(old: &Node, new: &Node) -> Vec<ClusterEvent> {
    let changes = [
        (old.unschedulable && !new.unschedulable, Action::NODE_TAINT),
        (
            old.allocatable != new.allocatable || old.allowed_pods != new.allowed_pods,
            Action::NODE_ALLOCATABLE,
        ),
        (old.meta.labels != new.meta.labels, Action::NODE_LABEL),
        (old.taints != new.taints, Action::NODE_TAINT),
        (old.conditions != new.conditions, Action::NODE_CONDITION),
        (
            old.declared_features != new.declared_features,
            Action::NODE_DECLARED_FEATURE,
        ),
    ];
    let mut events: Vec<ClusterEvent> = Vec::new();
    for (changed, action) in changes {
        let event = ClusterEvent::new(EventResource::Node, action);
        if changed && !events.contains(&event) {
            events.push(event);
        }
    }
    events
}

/// The events that a change of a pod makes; a plain update when nothing of its own name changed.
pub fn pod_events(old: &Pod, new: &Pod, target: bool) -> Vec<ClusterEvent> {
    let resource = match (&new.node_name, target) {
        (Some(_), _) => EventResource::AssignedPod,
        (None, true) => EventResource::TargetPod,
        (None, false) => EventResource::UnscheduledPod,
    };
    let (was, is) = (&old.body, &new.body);
    let before = old.resized.as_deref().unwrap_or(&was.requests);
    let after = new.resized.as_deref().unwrap_or(&is.requests);
    let smaller = |a: &crate::api::Requests, b: &crate::api::Requests| {
        a.milli_cpu < b.milli_cpu
            || a.memory < b.memory
            || a.ephemeral < b.ephemeral
            || b.scalars.iter().any(|(name, amount)| a.scalar(name) < *amount)
    };
    let changes = [
        (was.labels != is.labels, Action::POD_LABEL),
        (smaller(after, before), Action::POD_SCALE_DOWN),
        (smaller(before, after), Action::POD_SCALE_UP),
        (
            !was.scheduling_gates.is_empty() && is.scheduling_gates.is_empty(),
            Action::POD_GATES_ELIMINATED,
        ),
        (
            was.tolerations.len() != is.tolerations.len(),
            Action::POD_TOLERATION,
        ),
    ];
    let mut events: Vec<ClusterEvent> = changes
        .iter()
        .filter(|(changed, _)| *changed)
        .map(|(_, action)| ClusterEvent::new(resource, *action))
        .collect();
    if events.is_empty() {
        events.push(ClusterEvent::new(resource, Action::OTHER_UPDATE));
    }
    events
}
