//! CrashLoopBackOff: 10 s, doubled at each restart, up to a limit; forgotten after a run of twice the limit.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

/// The first wait.
const INITIAL: Duration = Duration::from_secs(10);

/// One container's.
#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

/// A pod's containers' back-offs.
#[derive(Clone, Debug)]
pub struct Backoffs {
    max: Duration,
    entries: FxHashMap<(Arc<str>, u64), Entry>,
}

impl Backoffs {
    /// `max`: the longest wait.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self {
            max,
            entries: FxHashMap::default(),
        }
    }

    /// Whether a container that ended at `finished` has to wait: until when, and the wait's length.
    #[must_use]
    pub fn wait(
        &self,
        name: &str,
        hash: u64,
        finished: Timestamp,
        now: Timestamp,
    ) -> Option<(Timestamp, Duration)> {
        let entry = self.entries.get(&(Arc::from(name), hash))?;
        if self.expired(entry, finished) {
            return None;
        }
        let until = finished.checked_add(entry.delay).unwrap_or(Timestamp::MAX);
        (now < until).then_some((until, entry.delay))
    }

    /// Notes a restart of a container that ended at `finished`.
    pub fn next(&mut self, name: &str, hash: u64, finished: Timestamp, now: Timestamp) {
        let key = (Arc::from(name), hash);
        let delay = match self.entries.get(&key) {
            Some(entry) if !self.expired(entry, finished) => (entry.delay * 2).min(self.max),
            _ => INITIAL.min(self.max),
        };
        self.entries.insert(key, Entry { delay, updated: now });
    }

    fn expired(&self, entry: &Entry, event: Timestamp) -> bool {
        Duration::try_from(event.duration_since(entry.updated)).is_ok_and(|since| since > self.max * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn first_restart_is_at_once_then_waits_double_up_to_the_limit() {
        let mut b = Backoffs::new(Duration::from_secs(300));
        let mut now = 1000;
        for expected in [0, 10, 20, 40, 80, 160, 300, 300] {
            let wait = b.wait("c", 1, at(now), at(now)).map_or(0, |(_, d)| d.as_secs());
            assert_eq!(wait, expected);
            assert!(b.wait("c", 1, at(now), at(now + expected as i64)).is_none());
            now += expected as i64;
            b.next("c", 1, at(now), at(now));
            now += 1;
        }
    }

    #[test]
    fn a_long_run_or_another_image_starts_over() {
        let mut b = Backoffs::new(Duration::from_secs(300));
        b.next("c", 1, at(0), at(0));
        assert!(b.wait("c", 1, at(5), at(5)).is_some());
        assert!(b.wait("c", 2, at(5), at(5)).is_none());
        assert!(b.wait("c", 1, at(601), at(602)).is_none());
    }
}
