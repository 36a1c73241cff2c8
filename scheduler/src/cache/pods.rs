//! The pods that are on nodes, or assumed to be.

use std::sync::Arc;

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use super::{RowId, ShapeId};
use crate::api::Pod;

/// The place of a pod in the table; others may get it when the pod is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodSlot(u32);

/// A pod on a row.
#[derive(Clone, Debug)]
pub struct PodEntry {
    pub pod: Arc<Pod>,
    pub shape: ShapeId,
    pub row: RowId,
    /// Whether the pod is only on its way to the node: chosen, not yet seen to be bound.
    pub assumed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Pods {
    slots: Vec<Option<PodEntry>>,
    free: Vec<PodSlot>,
    by_uid: FxHashMap<Istr, PodSlot>,
}

impl Pods {
    pub fn find(&self, uid: &str) -> Option<PodSlot> {
        self.by_uid.get(uid).copied()
    }

    pub fn get(&self, slot: PodSlot) -> Option<&PodEntry> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: PodSlot) -> Option<&mut PodEntry> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub fn insert(&mut self, entry: PodEntry) -> PodSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            PodSlot(self.slots.len() as u32 - 1)
        });
        self.by_uid.insert(entry.pod.uid().clone(), slot);
        self.slots[slot.0 as usize] = Some(entry);
        slot
    }

    pub fn remove(&mut self, slot: PodSlot) -> Option<PodEntry> {
        let entry = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_uid.remove(entry.pod.uid());
        self.free.push(slot);
        Some(entry)
    }

    pub fn len(&self) -> usize {
        self.by_uid.len()
    }
}
