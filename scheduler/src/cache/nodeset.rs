//! Sets of nodes by what a pod asks of them, kept up to date as nodes change.

use std::sync::Arc;

use machinery::arith::node_affinity::{self, Term};
use machinery::arith::taint::{self, TaintEffect, Toleration};
use machinery::meta::Labels;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::rows::Rows;
use super::topology::{Topologies, TopologyId};
use super::{RowId, RowSet};
use crate::api::PodBody;

/// Taints with these effects keep new pods away.
pub const KEEPS_AWAY: [TaintEffect; 2] = [TaintEffect::NoSchedule, TaintEffect::NoExecute];

/// A pod's node selector and required node affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAffinity {
    pub selector: Labels,
    /// One of these must hold, when there are any terms at all.
    pub terms: Option<Box<[Term]>>,
}

impl NodeAffinity {
    /// What the pod requires of nodes; `None` when every node will do.
    pub fn of(body: &PodBody) -> Option<Self> {
        let terms = body.required_node_affinity.as_ref().map(node_affinity::terms);
        (terms.is_some() || !body.node_selector.is_empty()).then(|| Self {
            selector: body.node_selector.clone(),
            terms,
        })
    }

    pub fn matches(&self, rows: &Rows, row: RowId) -> bool {
        let label = |key: &str| rows.label(row, key);
        self.selector
            .iter()
            .all(|(key, value)| label(key) == Some(value.as_str()))
            && self
                .terms
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.matches(rows.name(row), label)))
    }
}

/// What a node must have to be a member; everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSetSpec {
    pub affinity: Option<Arc<NodeAffinity>>,
    /// These must cover every taint that keeps pods away.
    pub tolerations: Option<Arc<[Toleration]>>,
    /// All of these topology keys, sorted.
    pub keys: SmallVec<[TopologyId; 2]>,
}

impl NodeSetSpec {
    fn matches(&self, rows: &Rows, topologies: &Topologies, row: RowId) -> bool {
        rows.live().contains(row)
            && self
                .keys
                .iter()
                .all(|key| topologies.get(*key).domain(row).is_some())
            && self
                .affinity
                .as_ref()
                .is_none_or(|affinity| affinity.matches(rows, row))
            && self.tolerations.as_ref().is_none_or(|tolerations| {
                taint::untolerated(rows.taints[row.0 as usize].iter(), tolerations, &KEEPS_AWAY).is_none()
            })
    }
}

/// Keeps a set alive, and finds it.
#[derive(Clone, Debug)]
pub struct NodeSetHandle {
    index: usize,
    _holder: Arc<()>,
}

impl PartialEq for NodeSetHandle {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

#[derive(Debug)]
struct Slot {
    spec: NodeSetSpec,
    rows: RowSet,
    holder: Arc<()>,
}

/// The sets that somebody holds.
#[derive(Debug, Default)]
pub struct NodeSets {
    slots: Vec<Option<Slot>>,
    by_spec: FxHashMap<NodeSetSpec, usize>,
}

impl NodeSets {
    /// The rows of a set.
    pub fn rows(&self, set: &NodeSetHandle) -> Option<&RowSet> {
        self.slots.get(set.index)?.as_ref().map(|slot| &slot.rows)
    }

    pub(super) fn hold(&mut self, spec: NodeSetSpec, rows: &Rows, topologies: &Topologies) -> NodeSetHandle {
        if let Some(index) = self.by_spec.get(&spec)
            && let Some(Some(slot)) = self.slots.get(*index)
        {
            return NodeSetHandle {
                index: *index,
                _holder: slot.holder.clone(),
            };
        }
        let members = rows
            .live()
            .iter()
            .filter(|row| spec.matches(rows, topologies, *row))
            .collect();
        let slot = Slot {
            spec: spec.clone(),
            rows: members,
            holder: Arc::new(()),
        };
        let holder = slot.holder.clone();
        let index = match self.slots.iter().position(Option::is_none) {
            Some(index) => {
                self.slots[index] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        self.by_spec.insert(spec, index);
        NodeSetHandle {
            index,
            _holder: holder,
        }
    }

    /// Looks again whether the row belongs to each set.
    pub(super) fn place(&mut self, row: RowId, rows: &Rows, topologies: &Topologies) {
        for slot in self.slots.iter_mut().flatten() {
            let member = slot.spec.matches(rows, topologies, row);
            slot.rows.assign(row, member);
        }
    }

    /// Drops the sets that nobody holds.
    pub(super) fn sweep(&mut self) {
        for slot in &mut self.slots {
            if slot
                .as_ref()
                .is_some_and(|held| Arc::strong_count(&held.holder) == 1)
                && let Some(dropped) = slot.take()
            {
                self.by_spec.remove(&dropped.spec);
            }
        }
    }
}
