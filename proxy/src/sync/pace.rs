//! When the next transaction may be made. A pure core.

use std::time::Duration;

/// The shortest distance between two transactions: long enough for a Service and its slices to come together.
const SHORTEST: Duration = Duration::from_millis(2);
/// The longest distance that is kept of our own accord: upstream's default.
const LONGEST: Duration = Duration::from_secs(1);
/// Of the time, transactions may take one part in so many.
const SHARE: u32 = 5;

const FIRST_RETRY: Duration = Duration::from_millis(500);

/// How long to wait after a transaction that took `took`, unless the user has set a minimum.
pub fn distance(took: Duration, minimum: Option<Duration>) -> Duration {
    minimum.unwrap_or_else(|| (took * SHARE).clamp(SHORTEST, LONGEST))
}

/// How long to wait after so many failures in a row.
pub fn back_off(failures: u32, longest: Duration) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dear_transactions_are_rare() {
        let ms = Duration::from_millis;
        assert_eq!(distance(Duration::from_micros(200), None), ms(2));
        assert_eq!(distance(ms(10), None), ms(50));
        assert_eq!(distance(ms(900), None), ms(1000));
        assert_eq!(distance(ms(1), Some(ms(700))), ms(700));
    }

    #[test]
    fn failures_are_retried_ever_more_slowly() {
        let longest = Duration::from_secs(30);
        let waits: Vec<_> = (1..10).map(|n| back_off(n, longest).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(back_off(u32::MAX, longest), longest);
    }
}
