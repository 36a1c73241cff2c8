//! How nodes and pods come into the tables and leave them.

use std::sync::Arc;

use machinery::meta::{Istr, Labels, ObjectKey};

use super::pods::{PodEntry, PodSlot};
use super::shape::Tally;
use super::{RowId, ShapeId, Snapshot, picks};
use crate::api::{Node, Pod};

impl Snapshot {
    /// A node came or changed.
    pub(crate) fn set_node(&mut self, node: &Arc<Node>) {
        let row = self.rows.ensure(&node.meta.name);
        self.replace_node(row, Some(node.clone()));
    }

    /// A node is gone. Its row stays while it has pods.
    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(row) = self.rows.find(name) {
            self.replace_node(row, None);
            self.rows.release_if_empty(row);
        }
    }

    fn replace_node(&mut self, row: RowId, node: Option<Arc<Node>>) {
        let old = self.rows.node(row).cloned();
        let images = |node: &Option<Arc<Node>>| node.as_ref().map_or(Vec::new(), |node| node.images.clone());
        if old.as_ref().map(|node| &node.images) != node.as_ref().map(|node| &node.images) {
            self.images.replace(row, &images(&old), &images(&node));
        }
        // Only labels and taints, or a node's coming and going, move a row between domains and node sets.
        let moves = match (&old, &node) {
            (Some(old), Some(new)) => old.meta.labels != new.meta.labels || old.taints != new.taints,
            (old, new) => old.is_some() || new.is_some(),
        };
        if moves {
            self.place(row, -1);
            self.rows.set_node(row, node);
            let rows = &self.rows;
            self.topologies.place(row, |key| rows.label(row, key));
            self.sets.place(row, &self.rows, &self.topologies);
            self.place(row, 1);
            self.node_epoch += 1;
        } else {
            self.rows.set_node(row, node);
        }
        self.touch(row);
    }

    fn place(&mut self, row: RowId, sign: i32) {
        for counter in self.counters.iter_mut() {
            counter.place(row, sign, &self.topologies, &self.sets);
        }
        self.carried.place(row, i64::from(sign), &self.topologies);
    }

    fn touch(&mut self, row: RowId) {
        self.log.push(row, self.rows.len());
    }

    /// A namespace came, changed its labels or (`None`) went. Counts that pick namespaces by labels are made anew.
    pub(crate) fn set_namespace(&mut self, name: &Istr, labels: Option<Labels>) {
        if !self.namespaces.set(name, labels) {
            return;
        }
        self.namespace_epoch += 1;
        let selective: Vec<usize> = self
            .counters
            .iter()
            .filter(|(_, counter)| {
                counter
                    .matcher
                    .all_of
                    .iter()
                    .any(|pods| pods.namespace_selector.is_some())
            })
            .map(|(index, _)| index)
            .collect();
        for index in selective {
            self.recount(index);
        }
    }

    fn recount(&mut self, index: usize) {
        let Some(matcher) = self
            .counters
            .get_mut(index)
            .map(|counter| counter.matcher.clone())
        else {
            return;
        };
        let mut changes: Vec<(RowId, i64)> = Vec::new();
        for slot in self.shapes.iter_mut() {
            let counted = slot.counters.contains(&(index as u32));
            let picked = picks(&matcher, &slot.shape, &self.namespaces);
            if counted == picked {
                continue;
            }
            if picked {
                slot.counters.push(index as u32);
            } else {
                slot.counters.retain(|held| *held as usize != index);
            }
            let sign = if picked { 1 } else { -1 };
            for (row, tally) in &slot.tally {
                changes.push((*row, sign * i64::from(counted_pods(tally, matcher.skip_deleting))));
            }
        }
        if let Some(counter) = self.counters.get_mut(index) {
            for (row, delta) in changes {
                counter.add(row, delta, &self.topologies, &self.sets);
            }
        }
    }

    /// The pod's entry, if it is on a node or assumed to be.
    pub fn pod(&self, uid: &str) -> Option<&PodEntry> {
        self.pods.get(self.pods.find(uid)?)
    }

    /// Whether the pod was given a node that it is not seen to be bound to yet.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pod(uid).is_some_and(|entry| entry.assumed)
    }

    /// How many pods are on nodes or assumed to be.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// The pods on a row.
    pub fn pods_on(&self, row: RowId) -> impl Iterator<Item = &PodEntry> {
        self.rows.pods_of[row.0 as usize]
            .iter()
            .filter_map(|slot| self.pods.get(*slot))
    }

    /// Counts the pod on the row's node from now on, before it is bound to it.
    pub(crate) fn assume(&mut self, pod: &Arc<Pod>, row: RowId) {
        self.forget(pod.uid());
        self.add_to_row(pod, row, true);
    }

    /// Takes the pod out, wherever it is; the node that it was on.
    pub(crate) fn forget(&mut self, uid: &str) -> Option<RowId> {
        let slot = self.pods.find(uid)?;
        self.remove_slot(slot)
    }

    /// A pod was seen to be on the node that it names: added, changed, or confirmed where it was assumed.
    pub(crate) fn set_pod(&mut self, pod: &Arc<Pod>) {
        let Some(node) = &pod.node_name else { return };
        if let Some(slot) = self.pods.find(pod.uid())
            && let Some(entry) = self.pods.get_mut(slot)
        {
            // The usual case, a pod that is where it was and as it was: nothing that is counted changes.
            let same_place = self.rows.names.get(entry.row.0 as usize) == Some(node);
            let same_content = Arc::ptr_eq(&entry.pod.body, &pod.body)
                && entry.pod.is_deleting() == pod.is_deleting()
                && entry.pod.resized == pod.resized;
            if same_place && same_content {
                entry.pod = pod.clone();
                entry.assumed = false;
                return;
            }
            self.remove_slot(slot);
        }
        let row = self.rows.ensure(node);
        self.add_to_row(pod, row, false);
    }

    pub(crate) fn add_to_row(&mut self, pod: &Arc<Pod>, row: RowId, assumed: bool) {
        let shape = self.shape(pod);
        let entry = PodEntry {
            pod: pod.clone(),
            shape: shape.id,
            row,
            assumed,
        };
        let slot = self.pods.insert(entry);
        self.rows.pods_of[row.0 as usize].push(slot);
        self.account(pod, shape.id, row, 1);
    }

    fn remove_slot(&mut self, slot: PodSlot) -> Option<RowId> {
        let entry = self.pods.remove(slot)?;
        let on_row = &mut self.rows.pods_of[entry.row.0 as usize];
        if let Some(at) = on_row.iter().position(|held| *held == slot) {
            on_row.swap_remove(at);
        }
        self.account(&entry.pod, entry.shape, entry.row, -1);
        self.rows.release_if_empty(entry.row);
        Some(entry.row)
    }

    /// Adds the pod to everything that counts it (`sign` 1), or takes it out (-1).
    fn account(&mut self, pod: &Pod, shape: ShapeId, row: RowId, sign: i64) {
        let body = &pod.body;
        let requests = pod.resized.as_deref().unwrap_or(&body.requests);
        let nonzero = match &pod.resized {
            None => (body.nonzero_milli_cpu, body.nonzero_memory),
            Some(resized) => (
                resized.milli_cpu.max(body.nonzero_milli_cpu),
                resized.memory.max(body.nonzero_memory),
            ),
        };
        self.rows.charge(row, requests, nonzero, &body.host_ports, sign);
        for name in pod.claim_names() {
            let key = ObjectKey {
                namespace: pod.namespace().clone(),
                name,
            };
            self.volumes.use_claim(&key, sign);
        }
        let deleting = pod.is_deleting();
        if let Some(slot) = self.shapes.slot_mut(shape) {
            let first = slot.tally.is_empty();
            let tally = slot.tally.entry(row).or_default();
            tally.pods = tally.pods.saturating_add_signed(sign as i32);
            if deleting {
                tally.deleting = tally.deleting.saturating_add_signed(sign as i32);
            }
            if tally.pods == 0 {
                slot.tally.remove(&row);
            }
            for index in slot.counters.iter() {
                if let Some(counter) = self.counters.get_mut(*index as usize)
                    && !(deleting && counter.matcher.skip_deleting)
                {
                    counter.add(row, sign, &self.topologies, &self.sets);
                }
            }
            if slot.shape.has_terms() {
                if first {
                    let (rows, topologies, carried) = (&self.rows, &mut self.topologies, &mut self.carried);
                    slot.carried = slot
                        .shape
                        .carries()
                        .map(|(term, pull)| {
                            let key =
                                topologies.intern(&term.key, rows.len(), |row, key| rows.label(row, key));
                            carried.intern(term, pull, key)
                        })
                        .collect();
                }
                for id in slot.carried.iter() {
                    if sign > 0 {
                        self.carried.add(*id, row, &self.topologies);
                    } else {
                        self.carried.remove(*id, row, &self.topologies);
                    }
                }
            }
        }
        self.touch(row);
    }
}

fn counted_pods(tally: &Tally, skip_deleting: bool) -> u32 {
    tally.pods - if skip_deleting { tally.deleting } else { 0 }
}
