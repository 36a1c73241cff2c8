//! At most so many a second, one at a time.

use std::time::{Duration, Instant};

/// A token bucket that holds one token.
#[derive(Debug, Clone)]
pub struct Limiter {
    per_second: f64,
    last: Option<Instant>,
}

impl Limiter {
    /// Nothing passes at a rate of 0.
    pub fn new(per_second: f64) -> Self {
        Self {
            per_second,
            last: None,
        }
    }

    /// Changes the rate; time that passed since the last one counts.
    pub fn set(&mut self, per_second: f64) {
        self.per_second = per_second;
    }

    /// When the next one may pass; `None` for never.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        if self.per_second <= 0.0 {
            return None;
        }
        let gap = Duration::try_from_secs_f64(1.0 / self.per_second).unwrap_or(Duration::MAX);
        match self.last {
            None => Some(now),
            Some(last) => last.checked_add(gap).map(|next| next.max(now)),
        }
    }

    /// Lets one pass now, if it may.
    pub fn pass(&mut self, now: Instant) -> bool {
        let may = self.next(now).is_some_and(|next| next <= now);
        if may {
            self.last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_in_each_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut limiter = Limiter::new(0.1);
        assert_eq!(
            [0, 1, 9, 10, 11, 25].map(|second| limiter.pass(at(second))),
            [true, false, false, true, false, true]
        );
        assert_eq!(limiter.next(at(26)), Some(at(35)));
        limiter.set(1.0);
        assert!(limiter.pass(at(26)));
        limiter.set(0.0);
        assert!(!limiter.pass(at(1000)) && limiter.next(at(1000)).is_none());
        limiter.set(1e-30);
        assert!(!limiter.pass(at(1000)));
    }
}
