//! What to write for an `events.k8s.io` event: upstream's series. A pure core.
//!
//! The first of a kind is created, the second turns it into a series, later ones only count. A series is written again
//! every half hour, and when it has been silent for six minutes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::draft::{Draft, event_name};
use super::recent::{Digest, Digests, Recent};

const FINISH: Duration = Duration::from_secs(6 * 60);
const REFRESH: Duration = Duration::from_secs(30 * 60);
/// How many events are remembered; one that is forgotten early is told as a new one.
const CAPACITY: usize = 1024;

/// An event as it is to stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub draft: Arc<Draft>,
    pub name: Box<str>,
    pub time: Timestamp,
    /// How often, and when last: of a series.
    pub series: Option<(u32, Timestamp)>,
    pub lane: Digest,
}

struct Told {
    write: Write,
    last: Duration,
    written: Duration,
}

pub(super) struct Series {
    digests: Digests,
    told: Recent<Told>,
}

impl Series {
    pub(super) fn new() -> Self {
        Series {
            digests: Digests::default(),
            told: Recent::new(CAPACITY),
        }
    }

    /// What to write now, if anything.
    pub(super) fn observe(&mut self, draft: Draft, now: Duration, wall: Timestamp) -> Option<Write> {
        let key = self.digests.of((
            draft.kind,
            &draft.action,
            &draft.reason,
            &draft.regarding,
            &draft.related,
        ));
        let mut fresh = false;
        let told = self.told.entry(key, || {
            fresh = true;
            let name = event_name(&draft.regarding.name, wall.as_nanosecond()).into();
            Told {
                write: Write {
                    draft: Arc::new(draft),
                    name,
                    time: wall,
                    series: None,
                    lane: key,
                },
                last: now,
                written: now,
            }
        });
        if fresh {
            return Some(told.write.clone());
        }
        told.last = now;
        let first = told.write.series.is_none();
        let count = told.write.series.map_or(1, |(count, _)| count) + 1;
        told.write.series = Some((count, wall));
        first.then(|| {
            told.written = now;
            told.write.clone()
        })
    }

    /// What is due to be written again; forgets what has been silent for long. To be called every six minutes.
    pub(super) fn tend(&mut self, now: Duration) -> Vec<Write> {
        let mut due = Vec::new();
        for told in self.told.values_mut() {
            let silent = now.saturating_sub(told.last) >= FINISH;
            let old = now.saturating_sub(told.written) >= REFRESH;
            if told.write.series.is_some() && (silent || old) {
                told.written = now;
                due.push(told.write.clone());
            }
        }
        self.told.retain(|told| now.saturating_sub(told.last) < FINISH);
        due
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.len() == 0
    }

    /// How often [`tend`](Self::tend) is to be called.
    pub(super) const PERIOD: Duration = FINISH;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventType;
    use crate::meta::ObjectRef;

    const MINUTE: Duration = Duration::from_secs(60);

    fn draft(message: &str) -> Draft {
        let regarding = ObjectRef {
            kind: "Pod".into(),
            name: "a".into(),
            ..ObjectRef::default()
        };
        Draft::new(
            &regarding,
            EventType::Warning,
            "FailedScheduling",
            "Scheduling",
            message,
        )
    }

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_second_makes_a_series_and_later_ones_only_count() {
        let mut series = Series::new();
        let first = series.observe(draft("m1"), MINUTE, wall(1)).unwrap();
        assert_eq!(first.series, None);
        // The message does not tell events apart.
        let second = series.observe(draft("m2"), MINUTE, wall(2)).unwrap();
        assert_eq!((second.series, &second.name), (Some((2, wall(2))), &first.name));
        assert_eq!(series.observe(draft("m3"), 2 * MINUTE, wall(3)), None);
        let due = series.tend(8 * MINUTE);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].series, Some((3, wall(3))));
        assert!(series.is_empty());
        assert_eq!(
            series.observe(draft("m4"), 9 * MINUTE, wall(4)).unwrap().series,
            None
        );
    }

    #[test]
    fn a_lasting_series_is_written_every_half_hour() {
        let mut series = Series::new();
        let mut writes = 0;
        for minute in 0..61 {
            series.observe(draft("m"), MINUTE * minute, wall(i64::from(minute)));
            if minute % 6 == 0 {
                writes += series.tend(MINUTE * minute).len();
            }
        }
        assert_eq!(writes, 1);
        assert!(!series.is_empty());
    }
}
