//! A map of the most recently used entries, by the hash of a key that is not kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use rustc_hash::FxBuildHasher;

/// 64 bits that stand for a key.
pub(super) type Digest = u64;

pub(super) struct Recent<V> {
    held: HashMap<Digest, (u64, V), FxBuildHasher>,
    capacity: usize,
    uses: u64,
}

impl<V> Recent<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Recent {
            held: HashMap::default(),
            capacity: capacity.max(1),
            uses: 0,
        }
    }

    /// The value under `key`, made by `new` if there is none; makes room by dropping what was used least recently.
    pub(super) fn entry(&mut self, key: Digest, new: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        if self.held.len() >= self.capacity && !self.held.contains_key(&key) {
            self.make_room();
        }
        let slot = self.held.entry(key).or_insert_with(|| (0, new()));
        slot.0 = self.uses;
        &mut slot.1
    }

    /// Drops the older half, so that this is rare.
    fn make_room(&mut self) {
        let mut uses: Vec<u64> = self.held.values().map(|(used, _)| *used).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        self.held.retain(|_, (used, _)| *used > median);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.held.retain(|_, (_, value)| keep(value));
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.held.values_mut().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

/// Makes digests: the same key gives the same one for as long as this lives.
#[derive(Default)]
pub(super) struct Digests(RandomState);

impl Digests {
    pub(super) fn of<K: Hash>(&self, key: K) -> Digest {
        self.0.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_half_goes() {
        let mut recent = Recent::new(4);
        for key in 0..4 {
            *recent.entry(key, || 0) += 1;
        }
        *recent.entry(0, || 0) += 1;
        recent.entry(9, || 7);
        assert_eq!(*recent.entry(0, || 0), 2);
        assert_eq!(*recent.entry(9, || 0), 7);
        assert_eq!(*recent.entry(1, || 5), 5);
        assert!(recent.len() <= 4);
    }
}
