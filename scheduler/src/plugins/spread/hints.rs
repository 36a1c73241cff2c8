//! Which events may help a pod that a hard constraint has turned down.

use machinery::meta::Labels;

use super::{DO_NOT_SCHEDULE, PodTopologySpread};
use crate::api::pod::SpreadConstraint;
use crate::api::{Node, Pod};
use crate::cache::Snapshot;
use crate::framework::plugin::EnqueueExtensions;
use crate::framework::{Action, Change, ClusterEvent, EventResource, Hint, Occurrence, PodView};

type Selected = (SpreadConstraint, Option<machinery::arith::Selector>);

fn picks(constraint: &Selected, labels: &Labels) -> bool {
    constraint
        .1
        .as_ref()
        .is_some_and(|selector| selector.matches(|key| labels.get(key)))
}

fn has_all_keys(constraints: &[Selected], node: &Node) -> bool {
    constraints
        .iter()
        .all(|(constraint, _)| node.meta.labels.contains_key(&constraint.topology_key))
}

fn relabelled(constraints: &[Selected], old: &Pod, new: &Pod) -> bool {
    constraints
        .iter()
        .any(|one| picks(one, &old.body.labels) != picks(one, &new.body.labels))
}

impl EnqueueExtensions for PodTopologySpread {
    fn events(&self) -> Vec<ClusterEvent> {
        let node = Action::ADD
            .or(Action::DELETE)
            .or(Action::NODE_LABEL)
            .or(Action::NODE_TAINT);
        vec![
            ClusterEvent::new(
                EventResource::AssignedPod,
                Action::ADD.or(Action::POD_LABEL).or(Action::DELETE),
            ),
            ClusterEvent::new(
                EventResource::TargetPod,
                Action::POD_TOLERATION.or(Action::POD_LABEL),
            ),
            ClusterEvent::new(EventResource::Node, node),
        ]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, snapshot: &Snapshot) -> Hint {
        let constraints = self.select(view.shape, snapshot, DO_NOT_SCHEDULE);
        let helps = match (&occurrence.change, occurrence.event.resource) {
            (
                Change::Pod {
                    old: Some(old),
                    new: Some(new),
                },
                EventResource::TargetPod,
            ) => {
                let honors = |one: &Selected| one.0.node_taints_policy.as_deref() == Some("Honor");
                let tolerates_more = old.body.tolerations != new.body.tolerations;
                (tolerates_more && constraints.iter().any(honors)) || relabelled(&constraints, old, new)
            }
            (Change::Pod { old, new }, _) => {
                let same_namespace = [old, new]
                    .into_iter()
                    .flatten()
                    .all(|pod| *pod.namespace() == view.shape.namespace);
                same_namespace
                    && match (old, new) {
                        (Some(old), Some(new)) => relabelled(&constraints, old, new),
                        (Some(pod), None) | (None, Some(pod)) => {
                            constraints.iter().any(|one| picks(one, &pod.body.labels))
                        }
                        (None, None) => true,
                    }
            }
            (
                Change::Node {
                    old: Some(old),
                    new: Some(new),
                },
                _,
            ) => {
                let (had, has) = (has_all_keys(&constraints, old), has_all_keys(&constraints, new));
                let moved = |(constraint, _): &Selected| {
                    let key = &constraint.topology_key;
                    old.meta.labels.get(key) != new.meta.labels.get(key)
                };
                had != has || (has && (constraints.iter().any(moved) || old.taints != new.taints))
            }
            (Change::Node { old: Some(node), .. } | Change::Node { new: Some(node), .. }, _) => {
                has_all_keys(&constraints, node)
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }
}
