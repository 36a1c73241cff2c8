//! Adaptive pacing: how many requests may be in flight, decided by how the API server copes.
//!
//! The limit grows by one per limit's worth of good answers (additive increase) while it is used, and shrinks by a
//! factor (multiplicative decrease) on a 429, a timeout or rising latency. `Retry-After` holds everything back.
//! A pure core: time is given as an offset from any fixed instant.

use std::time::Duration;

/// The bounds of the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub start: f64,
    pub min: f64,
    pub max: f64,
}

impl Default for Limits {
    fn default() -> Self {
        // The API server serves 400 + 200 requests at once by default, all clients together.
        Limits {
            start: 20.0,
            min: 1.0,
            max: 90.0,
        }
    }
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered after this long.
    Answered(Duration),
    /// 429, or 503 with `Retry-After`.
    Pushback(Option<Duration>),
    /// No answer.
    Failed,
}

/// Answers slower than this factor over the best seen lately are a sign of a queue at the server.
const SLOWER: f64 = 4.0;
/// ... but not where they are fast all the same.
const FAST_ENOUGH: f64 = 0.1;
/// Two cuts for one and the same jam would be one too many.
const BETWEEN_CUTS: Duration = Duration::from_millis(200);
/// The best latency seen is forgotten slowly, so that a server that got slower for good becomes the new normal.
const FORGET: f64 = 1.002;

/// The pacing state.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    limits: Limits,
    limit: f64,
    in_flight: u32,
    best: f64,
    recent: f64,
    last_cut: Option<Duration>,
    held_until: Option<Duration>,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Pace {
            limits,
            limit: limits.start,
            in_flight: 0,
            best: f64::INFINITY,
            recent: 0.0,
            last_cut: None,
            held_until: None,
        }
    }

    /// Lets a request start, or says how long to wait before asking again (`None`: until another one ends).
    pub(super) fn try_start(&mut self, now: Duration) -> Result<(), Option<Duration>> {
        if let Some(until) = self.held_until {
            if now < until {
                return Err(Some(until - now));
            }
            self.held_until = None;
        }
        if f64::from(self.in_flight) >= self.limit.floor().max(1.0) {
            return Err(None);
        }
        self.in_flight += 1;
        Ok(())
    }

    /// A request ended without an outcome: it was given up by its caller.
    pub(super) fn abandon(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request ended.
    pub(super) fn end(&mut self, now: Duration, outcome: Outcome) {
        let used = f64::from(self.in_flight);
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Pushback(wait) => {
                self.cut(now, 0.5);
                if let Some(wait) = wait {
                    let until = now + wait;
                    self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
                }
            }
            Outcome::Failed => self.cut(now, 0.5),
            Outcome::Answered(took) => {
                let took = took.as_secs_f64().max(1e-4);
                self.best = (self.best * FORGET).min(took);
                self.recent = if self.recent == 0.0 {
                    took
                } else {
                    0.9 * self.recent + 0.1 * took
                };
                if self.recent > SLOWER * self.best && self.recent > FAST_ENOUGH {
                    self.cut(now, 0.9);
                } else if used >= self.limit / 2.0 {
                    self.limit = (self.limit + 1.0 / self.limit).min(self.limits.max);
                }
            }
        }
    }

    fn cut(&mut self, now: Duration, factor: f64) {
        if self.last_cut.is_some_and(|last| now < last + BETWEEN_CUTS) {
            return;
        }
        self.last_cut = Some(now);
        self.limit = (self.limit * factor).max(self.limits.min);
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }
}

/// A token bucket: the cap that `--kube-api-qps` and `--kube-api-burst` set.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    qps: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(super) fn new(qps: f32, burst: u32) -> Self {
        Bucket {
            qps: f64::from(qps),
            burst: f64::from(burst),
            tokens: f64::from(burst),
            at: Duration::ZERO,
        }
    }

    /// Takes a token, in debt if need be; says how long to wait for it.
    pub(super) fn reserve(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * self.qps).min(self.burst) - 1.0;
        if self.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.tokens / self.qps)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fill(pace: &mut Pace, now: Duration) -> u32 {
        let mut started = 0;
        while pace.try_start(now).is_ok() {
            started += 1;
        }
        started
    }

    #[test]
    fn good_answers_raise_the_limit_while_it_is_used() {
        let mut pace = Pace::new(Limits::default());
        for round in 1..=200 {
            let now = MS * round * 10;
            for _ in 0..fill(&mut pace, now) {
                pace.end(now, Outcome::Answered(5 * MS));
            }
        }
        assert_eq!(pace.limit().floor(), 90.0);
        let mut idle = Pace::new(Limits::default());
        for round in 1..=200 {
            idle.try_start(MS * round).unwrap();
            idle.end(MS * round, Outcome::Answered(5 * MS));
        }
        assert_eq!(idle.limit(), 20.0);
    }

    #[test]
    fn a_storm_of_429_cuts_to_the_floor_and_recovers() {
        let mut pace = Pace::new(Limits::default());
        for round in 1..=10 {
            let now = MS * round * 250;
            for _ in 0..fill(&mut pace, now) {
                pace.end(now, Outcome::Pushback(None));
            }
        }
        assert_eq!(pace.limit(), 1.0);
        for round in 0..3000 {
            let now = MS * 5000 + MS * round;
            for _ in 0..fill(&mut pace, now) {
                pace.end(now, Outcome::Answered(5 * MS));
            }
        }
        assert!(pace.limit() > 20.0, "{}", pace.limit());
    }

    #[test]
    fn one_jam_cuts_once() {
        let mut pace = Pace::new(Limits::default());
        let started = fill(&mut pace, MS);
        for _ in 0..started {
            pace.end(MS, Outcome::Pushback(None));
        }
        assert_eq!(pace.limit(), 10.0);
    }

    #[test]
    fn retry_after_holds_everything_back() {
        let mut pace = Pace::new(Limits::default());
        pace.try_start(MS).unwrap();
        pace.end(MS, Outcome::Pushback(Some(1000 * MS)));
        assert_eq!(pace.try_start(501 * MS), Err(Some(500 * MS)));
        assert_eq!(pace.try_start(1001 * MS), Ok(()));
    }

    #[test]
    fn rising_latency_backs_off_without_an_error() {
        let mut pace = Pace::new(Limits::default());
        for round in 1..=50 {
            pace.try_start(MS * round).unwrap();
            pace.end(MS * round, Outcome::Answered(10 * MS));
        }
        let before = pace.limit();
        for round in 1..=50 {
            let now = MS * 1000 * round;
            pace.try_start(now).unwrap();
            pace.end(now, Outcome::Answered(900 * MS));
        }
        assert!(pace.limit() < before / 2.0, "{} after {before}", pace.limit());
    }

    #[test]
    fn the_bucket_lets_a_burst_through_and_then_spaces() {
        let mut bucket = Bucket::new(10.0, 3);
        let waits: Vec<_> = (0..5)
            .map(|_| bucket.reserve(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert_eq!(bucket.reserve(MS * 1000), Duration::ZERO);
    }
}
