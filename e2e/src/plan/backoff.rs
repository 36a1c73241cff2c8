//! How long the supervisor waits before it starts a program again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// A program that ran this long is taken to have been well: the count starts afresh.
const WELL: Duration = Duration::from_secs(20);

/// Grows with each quick exit, from a quarter of a second to five.
#[derive(Debug, Default)]
pub struct Backoff {
    quick_exits: u32,
}

impl Backoff {
    /// The pause after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= WELL {
            self.quick_exits = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.quick_exits.min(10)).min(LONGEST);
        self.quick_exits += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_exits_wait_longer_each_time_and_a_good_run_forgives_them() {
        let mut backoff = Backoff::default();
        let quick = Duration::from_millis(10);
        let pauses: Vec<u128> = (0..7).map(|_| backoff.after(quick).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(backoff.after(WELL), FIRST);
    }
}
