//! Whether to take, keep or leave the lease. A pure core: `now` is an offset from any fixed instant of our own clock,
//! the wall clock only fills in fields that nobody reckons with.

use std::time::Duration;

use super::Record;
use crate::meta::MicroTime;

/// What we know of the lease, and since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Observed {
    pub record: Record,
    pub at: Duration,
}

impl Observed {
    /// Takes in the record as read; the clock starts anew only if it changed.
    pub(super) fn see(&mut self, record: &Record, now: Duration) {
        if self.record != *record {
            *self = Observed {
                record: record.clone(),
                at: now,
            };
        }
    }

    /// Whether the holder's time is not over yet.
    pub(super) fn is_valid(&self, now: Duration) -> bool {
        self.at + Duration::from_secs(u64::from(self.record.duration_seconds)) > now
    }

    pub(super) fn is_held_by(&self, identity: &str) -> bool {
        self.record.holder == identity
    }
}

/// What to do with a lease that exists.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody else leads.
    Held,
    /// Write this, if the lease is still as we read it.
    Write(Record),
}

/// The record with which `identity` takes or renews a lease that was observed as `observed`.
fn ours(identity: &str, lease: Duration, observed: Option<&Observed>, wall: MicroTime) -> Record {
    let mut record = Record {
        holder: identity.to_owned(),
        duration_seconds: u32::try_from(lease.as_secs()).unwrap_or(u32::MAX),
        acquire_time: Some(wall),
        renew_time: Some(wall),
        transitions: 0,
    };
    if let Some(observed) = observed {
        record.transitions = observed.record.transitions;
        if observed.is_held_by(identity) {
            record.acquire_time = observed.record.acquire_time;
        } else {
            record.transitions += 1;
        }
    }
    record
}

/// The first record of a lease that does not exist yet.
pub(super) fn create(identity: &str, lease: Duration, wall: MicroTime) -> Record {
    ours(identity, lease, None, wall)
}

/// Take, renew, or leave it to its holder.
pub(super) fn step(
    identity: &str,
    lease: Duration,
    observed: &Observed,
    now: Duration,
    wall: MicroTime,
) -> Step {
    if !observed.record.holder.is_empty() && !observed.is_held_by(identity) && observed.is_valid(now) {
        return Step::Held;
    }
    Step::Write(ours(identity, lease, Some(observed), wall))
}

/// The record that hands the lease over at once.
pub(super) fn release(found: &Record, wall: MicroTime) -> Record {
    Record {
        holder: String::new(),
        duration_seconds: 1,
        acquire_time: Some(wall),
        renew_time: Some(wall),
        transitions: found.transitions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn wall(second: i64) -> MicroTime {
        MicroTime(jiff::Timestamp::from_second(second).unwrap())
    }

    fn held_by(holder: &str, transitions: i32) -> Record {
        Record {
            holder: holder.into(),
            duration_seconds: 15,
            acquire_time: Some(wall(1)),
            renew_time: Some(wall(1)),
            transitions,
        }
    }

    #[test]
    fn a_lease_is_taken_only_after_its_record_stood_still_for_its_duration() {
        let mut observed = Observed::default();
        observed.see(&held_by("them", 3), 100 * S);
        assert_eq!(step("us", 15 * S, &observed, 114 * S, wall(9)), Step::Held);
        // The same record again does not start the clock anew; a renewed one does.
        observed.see(&held_by("them", 3), 110 * S);
        let Step::Write(record) = step("us", 15 * S, &observed, 115 * S, wall(9)) else {
            panic!()
        };
        assert_eq!(
            (record.holder.as_str(), record.transitions, record.acquire_time),
            ("us", 4, Some(wall(9)))
        );
        let renewed = Record {
            renew_time: Some(wall(2)),
            ..held_by("them", 3)
        };
        observed.see(&renewed, 114 * S);
        assert_eq!(step("us", 15 * S, &observed, 128 * S, wall(9)), Step::Held);
    }

    #[test]
    fn the_duration_that_counts_is_the_holders() {
        let mut observed = Observed::default();
        observed.see(
            &Record {
                duration_seconds: 60,
                ..held_by("them", 0)
            },
            S,
        );
        assert_eq!(step("us", 15 * S, &observed, 50 * S, wall(9)), Step::Held);
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired() {
        let mut observed = Observed::default();
        observed.see(&held_by("us", 3), 100 * S);
        let Step::Write(record) = step("us", 15 * S, &observed, 102 * S, wall(9)) else {
            panic!()
        };
        assert_eq!(
            (record.transitions, record.acquire_time, record.renew_time),
            (3, Some(wall(1)), Some(wall(9)))
        );
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let released = release(&held_by("them", 3), wall(5));
        assert_eq!(
            (
                released.holder.as_str(),
                released.duration_seconds,
                released.transitions
            ),
            ("", 1, 3)
        );
        let mut observed = Observed::default();
        observed.see(&released, 100 * S);
        let Step::Write(record) = step("us", 15 * S, &observed, 100 * S, wall(9)) else {
            panic!()
        };
        assert_eq!(record.transitions, 4);
    }

    #[test]
    fn a_new_lease_starts_without_transitions() {
        assert_eq!(create("us", 15 * S, wall(9)).transitions, 0);
    }
}
