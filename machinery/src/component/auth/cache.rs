//! Verdicts that hold for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A bounded map whose entries end by themselves.
pub(super) struct Expiring<K, V> {
    entries: Mutex<HashMap<K, (Instant, V)>>,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Expiring<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: Mutex::new(HashMap::new()),
            most,
        }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.entries
            .lock()
            .get(key)
            .filter(|(until, _)| *until > now)
            .map(|(_, value)| value.clone())
    }

    pub(super) fn put(&self, key: K, value: V, now: Instant, ttl: Duration) {
        if ttl.is_zero() {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= self.most {
            entries.retain(|_, (until, _)| *until > now);
            if entries.len() >= self.most {
                entries.clear();
            }
        }
        entries.insert(key, (now + ttl, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_the_map_stays_bounded() {
        let cache = Expiring::new(2);
        let start = Instant::now();
        let second = Duration::from_secs(1);
        cache.put(1, 'a', start, second);
        assert_eq!(cache.get(&1, start), Some('a'));
        assert_eq!(cache.get(&1, start + second), None);
        for key in 2..10 {
            cache.put(key, 'b', start, second);
            assert!(cache.entries.lock().len() <= 2);
        }
    }
}
