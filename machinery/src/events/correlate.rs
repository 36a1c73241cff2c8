//! What to write for a core v1 event: upstream's correlator. A pure core.
//!
//! 1. More than ten different messages with one reason about one object in ten minutes are combined into one event.
//! 2. The same event again counts the first one up, by a patch.
//! 3. A source may tell 25 events of one type about one object at once, and one more every five minutes.

use std::time::Duration;

use jiff::Timestamp;
use smallvec::SmallVec;

use super::draft::{Draft, event_name};
use super::recent::{Digest, Digests, Recent};

/// Upstream's caches hold as many.
const CAPACITY: usize = 4096;
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
const BURST: f64 = 25.0;
const PER_SECOND: f64 = 1.0 / 300.0;
const COMBINED: &str = "(combined from similar events): ";

/// An event as it is to stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub draft: Draft,
    pub name: Box<str>,
    pub count: u32,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Which events must not overtake each other.
    pub lane: Digest,
}

struct Similar {
    messages: SmallVec<[Digest; SIMILAR]>,
    last: Duration,
}

struct Told {
    name: Box<str>,
    count: u32,
    first: Timestamp,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

pub(super) struct Correlator {
    digests: Digests,
    similar: Recent<Similar>,
    told: Recent<Option<Told>>,
    buckets: Recent<Bucket>,
}

impl Correlator {
    pub(super) fn new() -> Self {
        Correlator {
            digests: Digests::default(),
            similar: Recent::new(CAPACITY),
            told: Recent::new(CAPACITY),
            buckets: Recent::new(CAPACITY),
        }
    }

    /// What to write: `count` 1 is to be created, more is to be patched. `None`: the source told too much.
    pub(super) fn observe(&mut self, mut draft: Draft, now: Duration, wall: Timestamp) -> Option<Write> {
        let (object, kind, reason) = (draft.regarding.clone(), draft.kind, draft.reason.clone());
        // Upstream leaves the field path out where it looks for similar events, and for spam.
        let whole = (
            &object.kind,
            &object.namespace,
            &object.name,
            &object.uid,
            &object.api_version,
        );
        let alike = self.digests.of((whole, kind, &reason));
        let same = self
            .digests
            .of((whole, &object.field_path, kind, &reason, &draft.message));
        let message = self.digests.of(&draft.message);

        let similar = self.similar.entry(alike, || Similar {
            messages: SmallVec::new(),
            last: now,
        });
        if now.saturating_sub(similar.last) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        if !similar.messages.contains(&message) {
            similar.messages.push(message);
        }
        let key = if similar.messages.len() < SIMILAR {
            same
        } else {
            similar.messages.swap_remove(0);
            draft.message = format!("{COMBINED}{}", draft.message).into();
            draft.regarding.field_path = object.field_path.clone();
            alike
        };

        let told = self.told.entry(key, || None).get_or_insert_with(|| Told {
            name: event_name(&object.name, wall.as_nanosecond()).into(),
            count: 0,
            first: wall,
        });
        told.count += 1;
        let write = Write {
            draft,
            name: told.name.clone(),
            count: told.count,
            first: told.first,
            last: wall,
            lane: key,
        };

        let bucket = self.buckets.entry(self.digests.of((whole, kind)), || Bucket {
            tokens: BURST,
            at: now,
        });
        bucket.tokens = (bucket.tokens + now.saturating_sub(bucket.at).as_secs_f64() * PER_SECOND).min(BURST);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;
        Some(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventType;
    use crate::meta::ObjectRef;

    const S: Duration = Duration::from_secs(1);

    fn draft(object: &str, reason: &str, message: &str) -> Draft {
        let regarding = ObjectRef {
            kind: "Pod".into(),
            name: object.into(),
            ..ObjectRef::default()
        };
        Draft::new(&regarding, EventType::Normal, reason, "", message)
    }

    fn wall() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    #[test]
    fn the_same_again_counts_the_first_one_up() {
        let mut correlator = Correlator::new();
        let first = correlator.observe(draft("a", "Pulled", "m"), S, wall()).unwrap();
        let later = wall() + jiff::SignedDuration::from_secs(5);
        let again = correlator
            .observe(draft("a", "Pulled", "m"), 6 * S, later)
            .unwrap();
        assert_eq!((first.count, again.count), (1, 2));
        assert_eq!(
            (&again.name, again.first, again.last),
            (&first.name, wall(), later)
        );
        assert_eq!(
            correlator
                .observe(draft("b", "Pulled", "m"), S, wall())
                .unwrap()
                .count,
            1
        );
    }

    #[test]
    fn the_tenth_similar_message_is_combined() {
        let mut correlator = Correlator::new();
        let mut tell = |n: u32, at: u32| {
            correlator
                .observe(draft("a", "Failed", &format!("m{n}")), S * at, wall())
                .unwrap()
        };
        for n in 0..9 {
            assert_eq!(&*tell(n, 1).draft.message, format!("m{n}"));
        }
        let tenth = tell(9, 1);
        assert_eq!(
            (&*tenth.draft.message, tenth.count),
            ("(combined from similar events): m9", 1)
        );
        let eleventh = tell(10, 1);
        assert_eq!((eleventh.count, &eleventh.name), (2, &tenth.name));
        // Ten minutes of silence end it.
        assert_eq!(&*tell(11, 700).draft.message, "m11");
    }

    #[test]
    fn a_source_gets_25_at_once_and_one_more_every_five_minutes() {
        let mut correlator = Correlator::new();
        let mut pass = |at: u32| {
            correlator
                .observe(draft("a", "BackOff", "m"), S * at, wall())
                .is_some()
        };
        assert_eq!((0..40).filter(|_| pass(1)).count(), 25);
        assert!(!pass(300));
        assert!(pass(302));
        assert!(!pass(303));
        assert!(
            correlator
                .observe(draft("b", "BackOff", "m"), S, wall())
                .is_some()
        );
    }
}
