//! Which of our writes the cache has not shown yet: planning on an older state would write slices twice.

use crate::api::EndpointSlice;
use machinery::meta::{Istr, ObjectKey};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this long the cache is trusted again.
const PATIENCE: Duration = Duration::from_secs(60);

enum Expected {
    /// At least this generation.
    Generation(i64),
    Gone,
}

/// Slices by uid that a Service waits to see.
#[derive(Default)]
struct Pending {
    slices: FxHashMap<Istr, Expected>,
    since: Option<Instant>,
}

#[derive(Default)]
pub struct Tracker(Mutex<FxHashMap<ObjectKey, Pending>>);

impl Tracker {
    /// A slice was created or updated.
    pub fn wrote(&self, service: &ObjectKey, uid: Istr, generation: i64, now: Instant) {
        self.expect(service, uid, Expected::Generation(generation), now);
    }

    /// A slice was deleted.
    pub fn deleted(&self, service: &ObjectKey, uid: Istr, now: Instant) {
        self.expect(service, uid, Expected::Gone, now);
    }

    fn expect(&self, service: &ObjectKey, uid: Istr, expected: Expected, now: Instant) {
        let mut services = self.0.lock();
        let pending = services.entry(service.clone()).or_default();
        pending.slices.insert(uid, expected);
        pending.since = Some(now);
    }

    /// Whether the Service waits for something.
    pub fn is_waiting(&self, service: &ObjectKey) -> bool {
        self.0.lock().contains_key(service)
    }

    /// Whether these slices, straight from the cache, lag behind what was written; what was seen is forgotten.
    pub fn is_stale(&self, service: &ObjectKey, slices: &[Arc<EndpointSlice>], now: Instant) -> bool {
        let mut services = self.0.lock();
        let Some(pending) = services.get_mut(service) else {
            return false;
        };
        pending.slices.retain(|uid, expected| {
            let held = slices.iter().find(|slice| slice.metadata.uid == *uid);
            match (expected, held) {
                (Expected::Generation(wanted), Some(slice)) => slice.metadata.generation < *wanted,
                (Expected::Generation(_), None) => true,
                (Expected::Gone, held) => held.is_some_and(|slice| !slice.metadata.is_deleting()),
            }
        });
        let expired = pending
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > PATIENCE);
        if pending.slices.is_empty() || expired {
            services.remove(service);
            return false;
        }
        true
    }

    pub fn forget(&self, service: &ObjectKey) {
        self.0.lock().remove(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(uid: &str, generation: i64) -> Arc<EndpointSlice> {
        let mut slice = EndpointSlice::default();
        slice.metadata.uid = uid.into();
        slice.metadata.generation = generation;
        Arc::new(slice)
    }

    #[test]
    fn a_cache_is_stale_until_it_shows_what_was_written() {
        let (tracker, service, now) = (Tracker::default(), ObjectKey::new("n", "s"), Instant::now());
        assert!(!tracker.is_stale(&service, &[], now));
        tracker.wrote(&service, "a".into(), 2, now);
        tracker.deleted(&service, "b".into(), now);
        assert!(tracker.is_stale(&service, &[slice("a", 1), slice("b", 1)], now));
        assert!(tracker.is_stale(&service, &[slice("a", 2), slice("b", 1)], now));
        assert!(!tracker.is_stale(&service, &[slice("a", 2)], now));
        tracker.wrote(&service, "lost".into(), 1, now);
        assert!(tracker.is_stale(&service, &[], now));
        assert!(!tracker.is_stale(&service, &[], now + PATIENCE * 2));
    }
}
