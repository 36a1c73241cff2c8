//! What the scheduler knows of the cluster, laid out for asking one question of every node at once.
//!
//! ```text
//! nodes, pods, namespaces in -> rows and columns, shapes, counts (each change costs what it changes)
//!                            -> Snapshot out: what plugins read during one pod's scheduling cycle
//! ```
//!
//! - [`rows`]: nodes are rows; resources, taints, labels in use are columns and bit sets.
//! - [`shape`]: pods that are alike share a shape; its constraints are compiled once.
//! - [`counter`], [`carried`]: how many pods each constraint is about, by node and topology domain, in both directions.
//! - [`nodeset`]: nodes by what a pod asks of them.
//! - [`log`]: which rows changed, so that work done for a shape is only redone for those.
//!
//! One thread owns it. Nothing copies it: a cycle reads it in place, and what-if questions (nominated pods, preemption)
//! are asked by adding or removing pods and undoing that.

pub mod carried;
pub mod counter;
mod images;
pub mod log;
mod namespaces;
mod nodeset;
mod nominated;
mod pods;
mod rows;
mod rowset;
pub mod services;
pub mod shape;
pub mod term;
mod topology;
mod update;
mod volumes;

use std::sync::Arc;

pub use counter::{CountHandle, Matcher};
pub use images::Images;
pub use log::ChangeLog;
pub use namespaces::Namespaces;
pub use nodeset::{KEEPS_AWAY, NodeAffinity, NodeSetHandle, NodeSetSpec};
pub use nominated::Nominated;
pub use pods::{PodEntry, PodSlot};
pub use rows::{Amount, Rows, ports_clash};
pub use rowset::RowSet;
pub use services::Workloads;
pub use shape::{Shape, ShapeId};
pub use topology::{DomainId, Members, Topologies, Topology, TopologyId};
pub use volumes::Volumes;

use carried::CarriedTerms;
use counter::{Counter, Counters, Table};
use nodeset::NodeSets;
use pods::Pods;
use shape::Shapes;

use machinery::meta::{Istr, ObjectKey};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::api::Pod;
use crate::api::workload::DisruptionBudget;

/// The number of a node's row. A node keeps its row for as long as it or a pod on it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub u32);

/// The state of the cluster.
///
/// Plugins read it, and ask it for counts and node sets; only the scheduler itself puts nodes and pods in.
#[derive(Debug, Default)]
pub struct Snapshot {
    rows: Rows,
    topologies: Topologies,
    shapes: Shapes,
    pods: Pods,
    counters: Counters,
    carried: CarriedTerms,
    sets: NodeSets,
    images: Images,
    namespaces: Namespaces,
    nominated: Nominated,
    workloads: Workloads,
    volumes: Volumes,
    budgets: FxHashMap<ObjectKey, Arc<DisruptionBudget>>,
    doomed: FxHashSet<Istr>,
    log: ChangeLog,
    namespace_epoch: u64,
    node_epoch: u64,
}

impl Snapshot {
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    pub fn topology(&self, id: TopologyId) -> &Topology {
        self.topologies.get(id)
    }

    pub fn images(&self) -> &Images {
        &self.images
    }

    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Changes whenever a namespace's labels do.
    pub fn namespace_epoch(&self) -> u64 {
        self.namespace_epoch
    }

    /// Changes whenever a node comes, goes, or gets other labels or taints.
    pub fn node_epoch(&self) -> u64 {
        self.node_epoch
    }

    pub fn nominated(&self) -> &Nominated {
        &self.nominated
    }

    pub(crate) fn nominated_mut(&mut self) -> &mut Nominated {
        &mut self.nominated
    }

    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    pub(crate) fn workloads_mut(&mut self) -> &mut Workloads {
        &mut self.workloads
    }

    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    pub(crate) fn volumes_mut(&mut self) -> &mut Volumes {
        &mut self.volumes
    }

    /// The disruption budgets.
    pub fn disruption_budgets(&self) -> impl Iterator<Item = &Arc<DisruptionBudget>> {
        self.budgets.values()
    }

    pub(crate) fn set_disruption_budget(&mut self, key: &ObjectKey, budget: Option<Arc<DisruptionBudget>>) {
        match budget {
            Some(budget) => self.budgets.insert(key.clone(), budget),
            None => self.budgets.remove(key),
        };
    }

    /// Whether the pod is about to be evicted by us.
    pub fn is_doomed(&self, uid: &str) -> bool {
        self.doomed.contains(uid)
    }

    pub(crate) fn set_doomed(&mut self, uid: &Istr, doomed: bool) {
        if doomed {
            self.doomed.insert(uid.clone());
        } else {
            self.doomed.remove(uid);
        }
    }

    pub fn carried(&self) -> &CarriedTerms {
        &self.carried
    }

    pub fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// The shape of a pod.
    pub fn shape(&mut self, pod: &Pod) -> Arc<Shape> {
        let (shape, new) = self.shapes.intern(pod);
        if new && let Some(slot) = self.shapes.slot_mut(shape.id) {
            for (index, counter) in self.counters.iter() {
                if picks(&counter.matcher, &shape, &self.namespaces) {
                    slot.counters.push(index as u32);
                }
            }
        }
        shape
    }

    /// The id of a topology key.
    pub fn topology_id(&mut self, key: &Istr) -> TopologyId {
        let rows = &self.rows;
        self.topologies
            .intern(key, rows.len(), |row, key| rows.label(row, key))
    }

    /// The set of nodes that have what `spec` says, kept up to date for as long as the handle is held.
    pub fn node_set(&mut self, spec: NodeSetSpec) -> NodeSetHandle {
        self.sets.hold(spec, &self.rows, &self.topologies)
    }

    /// The rows of a node set.
    pub fn members(&self, set: &NodeSetHandle) -> Option<&RowSet> {
        self.sets.rows(set)
    }

    /// Counts the pods that `matcher` picks by domain of `key`, over the nodes of a set or all of them, and keeps the count up
    /// to date for as long as the handle is held.
    pub fn count(
        &mut self,
        matcher: &Matcher,
        key: TopologyId,
        nodes: Option<&NodeSetHandle>,
    ) -> CountHandle {
        let index = match self.counters.find(matcher) {
            Some(index) => index,
            None => self.start_counting(matcher),
        };
        match self
            .counters
            .hold(index, key, nodes, &self.topologies, &self.sets, self.rows.live())
        {
            Some(handle) => handle,
            None => unreachable!("the counter was found or made just now"),
        }
    }

    fn start_counting(&mut self, matcher: &Matcher) -> usize {
        let mut per_row = vec![0; self.rows.len()];
        for slot in self.shapes.iter() {
            if !slot.tally.is_empty() && picks(matcher, &slot.shape, &self.namespaces) {
                for (row, tally) in &slot.tally {
                    let skipped = if matcher.skip_deleting { tally.deleting } else { 0 };
                    per_row[row.0 as usize] += tally.pods - skipped;
                }
            }
        }
        let index = self.counters.insert(matcher.clone(), per_row);
        for slot in self.shapes.iter_mut() {
            if picks(matcher, &slot.shape, &self.namespaces) {
                slot.counters.push(index as u32);
            }
        }
        index
    }

    /// The counts by row behind a handle.
    pub fn counter(&self, handle: &CountHandle) -> &Counter {
        self.counters.counter(handle)
    }

    /// The counts by domain behind a handle.
    pub fn table(&self, handle: &CountHandle) -> &Table {
        self.counters.table(handle)
    }

    /// Drops counts, node sets and shapes that nobody holds any more.
    pub(crate) fn sweep(&mut self) {
        for index in self.counters.sweep() {
            for slot in self.shapes.iter_mut() {
                slot.counters.retain(|held| *held as usize != index);
            }
        }
        self.sets.sweep();
        self.shapes.sweep();
    }
}

fn picks(matcher: &Matcher, shape: &Shape, namespaces: &Namespaces) -> bool {
    matcher
        .all_of
        .iter()
        .all(|pods| pods.matches(&shape.namespace, &shape.body.labels, namespaces))
}

#[cfg(test)]
mod recount_tests;
