//! What happens in the cluster, taken in.

use std::sync::Arc;

use machinery::arith::selector::Selector;
use machinery::cache::Event;
use machinery::meta::{Labels, ObjectKey};

use super::Scheduler;
use crate::api::storage::{StorageClass, Volume, VolumeClaim};
use crate::api::workload::{DisruptionBudget, MapSelected, Namespace, Selecting};
use crate::api::{Node, Pod};
use crate::cache::services::Owner;
use crate::framework::{Action, Change, ClusterEvent, EventResource, Occurrence, node_events, pod_events};
use crate::queue::Moment;

impl Scheduler {
    /// A node came, changed or went.
    pub fn on_node(&mut self, event: &Event<Node>, now: Moment) {
        let happened = |action| ClusterEvent::new(EventResource::Node, action);
        match event {
            Event::Added(node) => {
                self.snapshot.set_node(node);
                let change = Change::Node {
                    old: None,
                    new: Some(node.clone()),
                };
                self.happened(
                    &Occurrence {
                        event: happened(Action::ADD),
                        change,
                    },
                    now,
                );
            }
            Event::Updated { old, new } => {
                // Most updates are heartbeats.
                if old.same_for_scheduling(new) {
                    return;
                }
                self.snapshot.set_node(new);
                for event in node_events(old, new) {
                    let change = Change::Node {
                        old: Some(old.clone()),
                        new: Some(new.clone()),
                    };
                    self.happened(&Occurrence { event, change }, now);
                }
            }
            Event::Deleted(node) => {
                self.snapshot.remove_node(&node.meta.name);
                let change = Change::Node {
                    old: Some(node.clone()),
                    new: None,
                };
                self.happened(
                    &Occurrence {
                        event: happened(Action::DELETE),
                        change,
                    },
                    now,
                );
            }
        }
    }

    /// A pod came, changed or went.
    pub fn on_pod(&mut self, event: &Event<Pod>, now: Moment) {
        match event {
            Event::Added(pod) => self.pod_changed(None, pod, now),
            // An object of the same name that was deleted and made again meanwhile is another pod.
            Event::Updated { old, new } if old.uid() != new.uid() => {
                self.pod_gone(old, now);
                self.pod_changed(None, new, now);
            }
            Event::Updated { old, new } => self.pod_changed(Some(old), new, now),
            Event::Deleted(pod) => self.pod_gone(pod, now),
        }
    }

    fn pod_changed(&mut self, old: Option<&Arc<Pod>>, pod: &Arc<Pod>, now: Moment) {
        if pod.node_name.is_none() {
            if self.is_ours(pod) {
                self.pending_changed(old, pod, now);
            }
            return;
        }
        let was_assigned = old.filter(|old| old.node_name.is_some());
        self.pending.remove(pod.uid());
        self.queue.remove(pod.uid(), &self.profiles);
        self.snapshot.nominated_mut().remove(pod.uid());
        self.snapshot.set_pod(pod);
        match was_assigned {
            None => {
                let event = ClusterEvent::new(EventResource::AssignedPod, Action::ADD);
                self.happened(
                    &Occurrence {
                        event,
                        change: Change::Pod {
                            old: None,
                            new: Some(pod.clone()),
                        },
                    },
                    now,
                );
            }
            Some(old) => {
                for event in pod_events(old, pod, false) {
                    let change = Change::Pod {
                        old: Some(old.clone()),
                        new: Some(pod.clone()),
                    };
                    self.happened(&Occurrence { event, change }, now);
                }
            }
        }
    }

    fn pending_changed(&mut self, old: Option<&Arc<Pod>>, pod: &Arc<Pod>, now: Moment) {
        let known = self.pending.insert(pod.uid().clone(), pod.clone());
        if self.snapshot.is_assumed(pod.uid()) {
            // It is being bound. What it takes is given back at once when it turns out to be wanted no more.
            if pod.is_deleting() && old.is_some_and(|old| !old.is_deleting()) {
                self.forget_assumed(pod, now);
            }
            return;
        }
        // A nomination that has not reached the API yet is not taken back by an update that does not know of it.
        let unknown = pod.nominated_node.is_none() && old.is_some_and(|old| old.nominated_node.is_none());
        let held = self
            .snapshot
            .nominated()
            .node_of(pod.uid())
            .filter(|_| unknown)
            .cloned();
        self.snapshot.nominated_mut().set(pod, held.as_ref());
        let shape = self.snapshot.shape(pod);
        let Some(old) = old.filter(|_| known.is_some()) else {
            self.queue.add(pod, &shape, &self.profiles, now);
            return;
        };
        if old.meta.resource_version == pod.meta.resource_version {
            return;
        }
        let occurrences: Vec<Occurrence> = pod_events(old, pod, true)
            .into_iter()
            .map(|event| Occurrence {
                event,
                change: Change::Pod {
                    old: Some(old.clone()),
                    new: Some(pod.clone()),
                },
            })
            .collect();
        self.queue
            .update(pod, &shape, &occurrences, &self.snapshot, &self.profiles, now);
        if old.nominated_node.is_some() && old.nominated_node != pod.nominated_node {
            self.room_freed(old, now);
        }
    }

    fn pod_gone(&mut self, pod: &Arc<Pod>, now: Moment) {
        self.snapshot.set_doomed(pod.uid(), false);
        self.pending.remove(pod.uid());
        self.queue.remove(pod.uid(), &self.profiles);
        let nominated = self.snapshot.nominated().node_of(pod.uid()).is_some();
        self.snapshot.nominated_mut().remove(pod.uid());
        if self.snapshot.pod(pod.uid()).is_some() {
            self.forget_assumed(pod, now);
        } else if nominated {
            self.room_freed(pod, now);
        }
    }

    /// Takes a pod off its node and tells the pods that wait.
    fn forget_assumed(&mut self, pod: &Arc<Pod>, now: Moment) {
        // Hints look at the pod as it was on its node.
        let last = self
            .snapshot
            .pod(pod.uid())
            .map_or_else(|| pod.clone(), |entry| entry.pod.clone());
        self.snapshot.forget(pod.uid());
        let event = ClusterEvent::new(EventResource::AssignedPod, Action::DELETE);
        self.happened(
            &Occurrence {
                event,
                change: Change::Pod {
                    old: Some(last),
                    new: None,
                },
            },
            now,
        );
    }

    /// Room that was kept for a pod of some priority is free for others of no higher one.
    fn room_freed(&mut self, pod: &Arc<Pod>, now: Moment) {
        let event = ClusterEvent::new(EventResource::AssignedPod, Action::DELETE);
        let occurrence = Occurrence {
            event,
            change: Change::Pod {
                old: Some(pod.clone()),
                new: None,
            },
        };
        let most = pod.priority();
        self.queue
            .happened(&occurrence, &self.snapshot, &self.profiles, now, |waiting| {
                waiting.priority() <= most
            });
    }

    pub(super) fn happened(&mut self, occurrence: &Occurrence, now: Moment) {
        self.queue
            .happened(occurrence, &self.snapshot, &self.profiles, now, |_| true);
    }

    /// A namespace came, changed or went.
    pub fn on_namespace(&mut self, event: &Event<Namespace>) {
        let labels = |namespace: &Namespace| namespace.metadata.labels.clone();
        let (name, labels): (_, Option<Labels>) = match event {
            Event::Added(namespace) | Event::Updated { new: namespace, .. } => {
                (&namespace.metadata.name, Some(labels(namespace)))
            }
            Event::Deleted(namespace) => (&namespace.metadata.name, None),
        };
        self.snapshot.set_namespace(name, labels);
    }

    /// A claim came, changed or went.
    pub fn on_volume_claim(&mut self, event: &Event<VolumeClaim>, now: Moment) {
        let claim = event.object();
        self.snapshot
            .volumes_mut()
            .set_claim(&claim.meta.key(), present(event));
        self.storage_changed(EventResource::PersistentVolumeClaim, action(event), now);
    }

    /// A volume came, changed or went.
    pub fn on_volume(&mut self, event: &Event<Volume>, now: Moment) {
        let volume = event.object();
        self.snapshot
            .volumes_mut()
            .set_volume(&volume.metadata.name, present(event));
        self.storage_changed(EventResource::PersistentVolume, action(event), now);
    }

    /// A storage class came, changed or went.
    pub fn on_storage_class(&mut self, event: &Event<StorageClass>, now: Moment) {
        let class = event.object();
        self.snapshot
            .volumes_mut()
            .set_class(&class.metadata.name, present(event));
        self.storage_changed(EventResource::StorageClass, action(event), now);
    }

    fn storage_changed(&mut self, resource: EventResource, action: Action, now: Moment) {
        let event = ClusterEvent::new(resource, action);
        self.happened(
            &Occurrence {
                event,
                change: Change::Other,
            },
            now,
        );
    }

    /// A disruption budget came, changed or went.
    pub fn on_disruption_budget(&mut self, event: &Event<DisruptionBudget>) {
        let key = event.object().metadata.key();
        self.snapshot.set_disruption_budget(&key, present(event));
    }

    /// A Service came, changed or went.
    pub fn on_service(&mut self, event: &Event<MapSelected>) {
        let object = event.object();
        let selector = match event {
            Event::Deleted(_) => None,
            _ => object.spec.selector.clone(),
        };
        self.snapshot
            .workloads_mut()
            .set_service(&object.metadata.key(), selector);
    }

    /// A ReplicationController came, changed or went.
    pub fn on_replication_controller(&mut self, event: &Event<MapSelected>) {
        let object = event.object();
        let selector = match event {
            Event::Deleted(_) => None,
            _ => object
                .spec
                .selector
                .as_ref()
                .map(|selector| Selector::from_set(selector.iter())),
        };
        self.set_owner(Owner::ReplicationController, &object.metadata.key(), selector);
    }

    /// A ReplicaSet or StatefulSet came, changed or went.
    pub fn on_selecting(&mut self, owner: Owner, event: &Event<Selecting>) {
        let object = event.object();
        let selector = match event {
            Event::Deleted(_) => None,
            _ => Selector::try_from(&object.spec.selector).ok(),
        };
        self.set_owner(owner, &object.metadata.key(), selector);
    }

    fn set_owner(&mut self, owner: Owner, key: &ObjectKey, selector: Option<Selector>) {
        self.snapshot.workloads_mut().set_owner(owner, key, selector);
    }
}

/// The object, unless it is gone.
fn present<K>(event: &Event<K>) -> Option<Arc<K>> {
    (!matches!(event, Event::Deleted(_))).then(|| event.object().clone())
}

fn action<K>(event: &Event<K>) -> Action {
    match event {
        Event::Added(_) => Action::ADD,
        Event::Updated { .. } => Action::OTHER_UPDATE,
        Event::Deleted(_) => Action::DELETE,
    }
}
