//! Shapes: what pods of one workload have in common, compiled once for all of them.

use std::sync::Arc;

use machinery::arith::taint::Toleration;
use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::RowId;
use super::carried::{CarriedId, Pull};
use super::nodeset::NodeAffinity;
use super::term::Term;
use crate::api::{Pod, PodBody};

/// Names a shape; two pods with the same one are scheduled alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeId(pub(super) u32);

/// A pod's namespace, labels and spec, with its constraints compiled.
#[derive(Debug)]
pub struct Shape {
    pub id: ShapeId,
    pub namespace: Istr,
    pub body: Arc<PodBody>,
    pub node_affinity: Option<Arc<NodeAffinity>>,
    pub tolerations: Arc<[Toleration]>,
    pub required_affinity: Vec<Term>,
    pub required_anti_affinity: Vec<Term>,
    /// Preferred terms with their weights; anti-affinity weighs less than nothing.
    pub preferred: Vec<(i32, Term)>,
}

impl Shape {
    fn new(id: ShapeId, namespace: &Istr, body: &Arc<PodBody>) -> Self {
        let term = |term| Term::new(term, namespace);
        let (with, without) = (&body.pod_affinity, &body.pod_anti_affinity);
        let preferred = with
            .preferred
            .iter()
            .map(|one| (one.weight, term(&one.pod_affinity_term)));
        let avoided = without
            .preferred
            .iter()
            .map(|one| (-one.weight, term(&one.pod_affinity_term)));
        Self {
            id,
            namespace: namespace.clone(),
            body: body.clone(),
            node_affinity: NodeAffinity::of(body).map(Arc::new),
            tolerations: body.tolerations.as_slice().into(),
            required_affinity: with.required.iter().map(term).collect(),
            required_anti_affinity: without.required.iter().map(term).collect(),
            preferred: preferred.chain(avoided).collect(),
        }
    }

    /// The terms that a pod of this shape carries to its node, with what they do to others.
    pub fn carries(&self) -> impl Iterator<Item = (&Term, Pull)> {
        let repels = self
            .required_anti_affinity
            .iter()
            .map(|term| (term, Pull::Repels));
        let requires = self.required_affinity.iter().map(|term| (term, Pull::Requires));
        let prefers = self
            .preferred
            .iter()
            .map(|(weight, term)| (term, Pull::Prefers(*weight)));
        repels.chain(requires).chain(prefers)
    }

    /// Whether it has terms of inter-pod affinity.
    pub fn has_terms(&self) -> bool {
        !(self.required_affinity.is_empty()
            && self.required_anti_affinity.is_empty()
            && self.preferred.is_empty())
    }
}

/// How many pods of a shape a row has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub pods: u32,
    /// Those of them that are being deleted.
    pub deleting: u32,
}

/// A shape and where its pods are.
#[derive(Debug)]
pub(super) struct Slot {
    pub shape: Arc<Shape>,
    pub tally: FxHashMap<RowId, Tally>,
    /// Counters whose matcher picks pods of this shape.
    pub counters: SmallVec<[u32; 4]>,
    /// The terms that it carries, while it has pods.
    pub carried: SmallVec<[CarriedId; 2]>,
}

/// All shapes in use.
#[derive(Debug, Default)]
pub struct Shapes {
    slots: Vec<Option<Slot>>,
    free: Vec<ShapeId>,
    by_pod: FxHashMap<(Istr, usize), ShapeId>,
}

impl Shapes {
    /// The shape of a pod, and whether it is new.
    pub(super) fn intern(&mut self, pod: &Pod) -> (Arc<Shape>, bool) {
        // Equal bodies are one allocation, which the shape keeps alive: its address stands for its content.
        let key = (pod.namespace().clone(), Arc::as_ptr(&pod.body) as usize);
        if let Some(id) = self.by_pod.get(&key)
            && let Some(Some(slot)) = self.slots.get(id.0 as usize)
        {
            return (slot.shape.clone(), false);
        }
        if self.free.is_empty() && self.slots.len() == self.slots.capacity() {
            self.sweep();
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ShapeId(self.slots.len() as u32 - 1)
        });
        let shape = Arc::new(Shape::new(id, pod.namespace(), &pod.body));
        self.slots[id.0 as usize] = Some(Slot {
            shape: shape.clone(),
            tally: FxHashMap::default(),
            counters: SmallVec::new(),
            carried: SmallVec::new(),
        });
        self.by_pod.insert(key, id);
        (shape, true)
    }

    pub(super) fn slot_mut(&mut self, id: ShapeId) -> Option<&mut Slot> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().flatten()
    }

    pub fn len(&self) -> usize {
        self.by_pod.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_pod.is_empty()
    }

    /// Drops the shapes that have no pods and that nobody holds.
    pub(super) fn sweep(&mut self) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let unused = |slot: &Slot| slot.tally.is_empty() && Arc::strong_count(&slot.shape) == 1;
            if slot.as_ref().is_some_and(unused)
                && let Some(dropped) = slot.take()
            {
                let shape = &dropped.shape;
                self.by_pod
                    .remove(&(shape.namespace.clone(), Arc::as_ptr(&shape.body) as usize));
                self.free.push(ShapeId(index as u32));
            }
        }
    }
}
