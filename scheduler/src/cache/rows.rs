//! The table of nodes: one row a node, one column a fact.

use std::sync::Arc;

use machinery::arith::taint::Taint;
use machinery::meta::Istr;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::{PodSlot, RowId, RowSet};
use crate::api::pod::HostPort;
use crate::api::{Node, Requests};

/// What nodes can give and what their pods have of it, by row.
#[derive(Debug, Default)]
pub struct Amount {
    pub allocatable: Vec<i64>,
    pub used: Vec<i64>,
}

impl Amount {
    fn grow(&mut self, rows: usize) {
        self.allocatable.resize(rows, 0);
        self.used.resize(rows, 0);
    }

    /// What is left on a row; less than nothing where a node is over-committed.
    pub fn free(&self, row: RowId) -> i64 {
        self.allocatable[row.0 as usize] - self.used[row.0 as usize]
    }
}

/// The table. A row whose node is not known (yet, or any more) but that has pods is kept, and is no candidate.
#[derive(Debug, Default)]
pub struct Rows {
    by_name: FxHashMap<Istr, RowId>,
    free: Vec<RowId>,
    live: RowSet,
    known: usize,
    pub(super) names: Vec<Istr>,
    pub(super) nodes: Vec<Option<Arc<Node>>>,
    /// Rows whose node is cordoned.
    pub unschedulable: RowSet,
    /// Rows whose node has taints; their sets are shared between equal rows.
    pub taints: Vec<Arc<[Taint]>>,
    taint_sets: FxHashSet<Arc<[Taint]>>,
    pub milli_cpu: Amount,
    pub memory: Amount,
    pub ephemeral: Amount,
    /// How many pods a node takes, and how many it has.
    pub pods: Amount,
    /// What pods have for scoring, where missing requests are assumed.
    pub nonzero_milli_cpu: Vec<i64>,
    pub nonzero_memory: Vec<i64>,
    scalars: Vec<(Istr, Amount)>,
    ports: Vec<SmallVec<[HostPort; 1]>>,
    pub(super) pods_of: Vec<Vec<PodSlot>>,
}

impl Rows {
    /// How many rows there are room for, those of no node included.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Rows with a node: the candidates.
    pub fn live(&self) -> &RowSet {
        &self.live
    }

    /// How many nodes there are.
    pub fn known(&self) -> usize {
        self.known
    }

    pub fn find(&self, name: &str) -> Option<RowId> {
        self.by_name.get(name).copied()
    }

    pub fn name(&self, row: RowId) -> &Istr {
        &self.names[row.0 as usize]
    }

    pub fn node(&self, row: RowId) -> Option<&Arc<Node>> {
        self.nodes.get(row.0 as usize)?.as_ref()
    }

    /// The value of a label of the row's node.
    pub fn label(&self, row: RowId, key: &str) -> Option<&str> {
        self.node(row)?.meta.labels.get(key)
    }

    /// The column of a resource that is not one of the usual four; `None` when no node and no pod has named it.
    pub fn scalar(&self, name: &str) -> Option<&Amount> {
        self.scalars
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, amount)| amount)
    }

    /// Whether a pod on the row holds a host port that would clash with one of `wanted`.
    pub fn ports_clash(&self, row: RowId, wanted: &[HostPort]) -> bool {
        let held = &self.ports[row.0 as usize];
        !held.is_empty()
            && wanted
                .iter()
                .any(|port| held.iter().any(|other| ports_clash(port, other)))
    }

    fn scalar_mut(&mut self, name: &Istr) -> &mut Amount {
        let at = match self.scalars.iter().position(|(held, _)| held == name) {
            Some(at) => at,
            None => {
                let mut amount = Amount::default();
                amount.grow(self.names.len());
                self.scalars.push((name.clone(), amount));
                self.scalars.len() - 1
            }
        };
        &mut self.scalars[at].1
    }

    /// The row of a node of this name, made if there is none.
    pub(super) fn ensure(&mut self, name: &Istr) -> RowId {
        if let Some(row) = self.by_name.get(name) {
            return *row;
        }
        let row = self.free.pop().unwrap_or_else(|| {
            let row = RowId(self.names.len() as u32);
            let rows = self.names.len() + 1;
            self.names.push(Istr::default());
            self.nodes.push(None);
            self.taints.push(Arc::from([]));
            self.ports.push(SmallVec::new());
            self.pods_of.push(Vec::new());
            self.nonzero_milli_cpu.push(0);
            self.nonzero_memory.push(0);
            for amount in [
                &mut self.milli_cpu,
                &mut self.memory,
                &mut self.ephemeral,
                &mut self.pods,
            ] {
                amount.grow(rows);
            }
            for (_, amount) in &mut self.scalars {
                amount.grow(rows);
            }
            row
        });
        self.names[row.0 as usize] = name.clone();
        self.by_name.insert(name.clone(), row);
        row
    }

    /// Writes what the node says into the columns; `None` leaves a row without a node.
    pub(super) fn set_node(&mut self, row: RowId, node: Option<Arc<Node>>) {
        let at = row.0 as usize;
        let nothing = Requests::default();
        let allocatable = node.as_ref().map_or(&nothing, |node| &node.allocatable);
        self.milli_cpu.allocatable[at] = allocatable.milli_cpu;
        self.memory.allocatable[at] = allocatable.memory;
        self.ephemeral.allocatable[at] = allocatable.ephemeral;
        self.pods.allocatable[at] = node.as_ref().map_or(0, |node| node.allowed_pods);
        for (_, amount) in &mut self.scalars {
            amount.allocatable[at] = 0;
        }
        for (name, quantity) in &allocatable.scalars.clone() {
            self.scalar_mut(name).allocatable[at] = *quantity;
        }
        let taints = node.as_ref().map_or(&[][..], |node| &node.taints);
        if *self.taints[at] != *taints {
            self.taints[at] = self.share_taints(taints);
        }
        self.unschedulable
            .assign(row, node.as_ref().is_some_and(|node| node.unschedulable));
        self.known -= usize::from(self.live.contains(row));
        self.known += usize::from(node.is_some());
        self.live.assign(row, node.is_some());
        self.nodes[at] = node;
    }

    fn share_taints(&mut self, taints: &[Taint]) -> Arc<[Taint]> {
        if let Some(held) = self.taint_sets.get(taints) {
            return held.clone();
        }
        if self.taint_sets.len() == self.taint_sets.capacity() {
            self.taint_sets.retain(|held| Arc::strong_count(held) > 1);
        }
        let shared: Arc<[Taint]> = taints.into();
        self.taint_sets.insert(shared.clone());
        shared
    }

    /// Frees the row when it has neither a node nor pods.
    pub(super) fn release_if_empty(&mut self, row: RowId) {
        let at = row.0 as usize;
        if self.nodes[at].is_none() && self.pods_of[at].is_empty() && !self.names[at].is_empty() {
            let name = std::mem::take(&mut self.names[at]);
            self.by_name.remove(&name);
            self.free.push(row);
        }
    }

    /// Adds a pod's requests and ports to the row's columns (`sign` 1), or takes them away (-1).
    pub(super) fn charge(
        &mut self,
        row: RowId,
        requests: &Requests,
        nonzero: (i64, i64),
        ports: &[HostPort],
        sign: i64,
    ) {
        let at = row.0 as usize;
        self.milli_cpu.used[at] += sign * requests.milli_cpu;
        self.memory.used[at] += sign * requests.memory;
        self.ephemeral.used[at] += sign * requests.ephemeral;
        self.pods.used[at] += sign;
        self.nonzero_milli_cpu[at] += sign * nonzero.0;
        self.nonzero_memory[at] += sign * nonzero.1;
        for (name, amount) in &requests.scalars {
            self.scalar_mut(name).used[at] += sign * amount;
        }
        let held = &mut self.ports[at];
        for port in ports {
            if sign > 0 {
                held.push(port.clone());
            } else if let Some(found) = held.iter().position(|other| other == port) {
                held.swap_remove(found);
            }
        }
    }
}

/// Two ports clash on a node when number and protocol agree and one of them is on every address or both on the same.
pub fn ports_clash(one: &HostPort, other: &HostPort) -> bool {
    const EVERY: &str = "0.0.0.0";
    one.port == other.port
        && one.protocol == other.protocol
        && (one.ip == other.ip || one.ip == EVERY || other.ip == EVERY)
}
