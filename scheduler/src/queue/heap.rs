//! A binary heap whose items can be found, changed and taken out by key.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use super::QueuedPod;

/// Pods by uid, the least on top. The order is given with each call, and must be the same one for a heap's whole life.
#[derive(Default)]
pub struct PodHeap {
    items: Vec<QueuedPod>,
    at: FxHashMap<Istr, usize>,
}

impl PodHeap {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn contains(&self, uid: &str) -> bool {
        self.at.contains_key(uid)
    }

    pub fn peek(&self) -> Option<&QueuedPod> {
        self.items.first()
    }

    /// Adds an item, in place of an older one of the same pod.
    pub fn push(&mut self, item: QueuedPod, less: impl Fn(&QueuedPod, &QueuedPod) -> bool) {
        self.remove(&item.pod.uid().clone(), &less);
        let at = self.items.len();
        self.at.insert(item.pod.uid().clone(), at);
        self.items.push(item);
        self.up(at, &less);
    }

    pub fn pop(&mut self, less: impl Fn(&QueuedPod, &QueuedPod) -> bool) -> Option<QueuedPod> {
        let uid = self.items.first()?.pod.uid().clone();
        self.remove(&uid, less)
    }

    pub fn remove(&mut self, uid: &str, less: impl Fn(&QueuedPod, &QueuedPod) -> bool) -> Option<QueuedPod> {
        let at = self.at.remove(uid)?;
        let item = self.items.swap_remove(at);
        if at < self.items.len() {
            self.at.insert(self.items[at].pod.uid().clone(), at);
            let at = self.up(at, &less);
            self.down(at, &less);
        }
        Some(item)
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.items.swap(one, other);
        for at in [one, other] {
            if let Some(held) = self.at.get_mut(self.items[at].pod.uid().as_str()) {
                *held = at;
            }
        }
    }

    fn up(&mut self, mut at: usize, less: &impl Fn(&QueuedPod, &QueuedPod) -> bool) -> usize {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !less(&self.items[at], &self.items[parent]) {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
        at
    }

    fn down(&mut self, mut at: usize, less: &impl Fn(&QueuedPod, &QueuedPod) -> bool) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.items.len() && less(&self.items[child], &self.items[least]) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }
}
