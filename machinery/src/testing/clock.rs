//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// A clock for tests; clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that shows `time` (RFC 3339); the start of 1970 if that cannot be read.
    pub fn at(time: &str) -> Self {
        ManualClock(Arc::new(Mutex::new(
            time.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        )))
    }

    pub fn now(&self) -> Timestamp {
        *self.0.lock()
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let mut now = self.0.lock();
        *now = now.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told_to() {
        let clock = ManualClock::at("2026-01-02T03:04:05Z");
        let other = clock.clone();
        clock.advance(Duration::from_secs(90));
        assert_eq!(other.now().to_string(), "2026-01-02T03:05:35Z");
    }
}
