//! Exponential back-off as a value: no clock, no sleep.

use std::time::Duration;

/// A delay that grows by `factor` with each step up to `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first delay.
    pub initial: Duration,
    /// The largest delay.
    pub cap: Duration,
    /// What each delay is multiplied by.
    pub factor: f64,
    /// Up to this share is added at random (0.1 is up to a tenth more).
    pub jitter: f64,
    steps: u32,
}

impl Backoff {
    /// A doubling delay from `initial` up to `cap`, without jitter.
    #[must_use]
    pub const fn doubling(initial: Duration, cap: Duration) -> Self {
        Self {
            initial,
            cap,
            factor: 2.0,
            jitter: 0.0,
            steps: 0,
        }
    }

    /// The same with up to `jitter` of each delay added at random.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The next delay; each call makes the one after it longer.
    pub fn next_delay(&mut self) -> Duration {
        let plain = self.peek();
        self.steps = self.steps.saturating_add(1);
        if self.jitter > 0.0 {
            jitter(plain, self.jitter)
        } else {
            plain
        }
    }

    /// The delay that `next_delay` would give, without jitter.
    #[must_use]
    pub fn peek(&self) -> Duration {
        let grown = self.initial.as_secs_f64()
            * self
                .factor
                .powi(i32::try_from(self.steps.min(1_000)).unwrap_or(1_000));
        Duration::try_from_secs_f64(grown).map_or(self.cap, |delay| delay.min(self.cap))
    }

    /// Starts again from `initial`.
    pub fn reset(&mut self) {
        self.steps = 0;
    }

    /// How often a delay was given since the last reset.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }
}

/// `delay` and up to `share` of it more, at random.
#[must_use]
pub fn jitter(delay: Duration, share: f64) -> Duration {
    delay.mul_f64(1.0 + share * rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_cap_and_starts_again() {
        let mut backoff = Backoff::doubling(Duration::from_secs(10), Duration::from_secs(300));
        let delays: Vec<u64> = (0..7).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_secs(), 10);
    }

    #[test]
    fn many_steps_stay_at_the_cap() {
        let mut backoff = Backoff::doubling(Duration::from_millis(5), Duration::from_secs(1_000));
        for _ in 0..5_000 {
            backoff.next_delay();
        }
        assert_eq!(backoff.peek(), Duration::from_secs(1_000));
    }
}
