//! Back-off for nodes where a DaemonSet's pods fail at once, as when the kubelet rejects them: or each would be replaced the
//! moment that it failed.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);

struct Entry {
    delay: Duration,
    since: Instant,
}

impl Entry {
    /// Nothing failed for so long that the next failure counts as the first.
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > LONGEST * 2
    }
}

/// Failures by DaemonSet, its generation, and node.
#[derive(Default)]
pub struct Failures(FxHashMap<(Istr, i64, Istr), Entry>);

impl Failures {
    /// A pod of the DaemonSet failed on the node: how long to wait before it is replaced, or `None` to do so now.
    pub fn failed(&mut self, set: &Istr, generation: i64, node: &Istr, now: Instant) -> Option<Duration> {
        let key = (set.clone(), generation, node.clone());
        match self.0.get_mut(&key) {
            Some(entry) if !entry.is_over(now) => {
                if now.saturating_duration_since(entry.since) < entry.delay {
                    return Some(entry.delay);
                }
                entry.delay = (entry.delay * 2).min(LONGEST);
                entry.since = now;
            }
            _ => {
                self.0.insert(
                    key,
                    Entry {
                        delay: FIRST,
                        since: now,
                    },
                );
            }
        }
        None
    }

    /// Forgets what is over.
    pub fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, entry| !entry.is_over(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_on_a_node_waits_twice_as_long() {
        let (mut all, now) = (Failures::default(), Instant::now());
        let (set, node) = (Istr::from("s"), Istr::from("n"));
        assert_eq!(all.failed(&set, 1, &node, now), None);
        assert_eq!(all.failed(&set, 1, &node, now), Some(FIRST));
        assert_eq!(all.failed(&set, 1, &Istr::from("other"), now), None);
        assert_eq!(
            all.failed(&set, 2, &node, now),
            None,
            "a new generation starts anew"
        );
        let later = now + FIRST;
        assert_eq!(all.failed(&set, 1, &node, later), None);
        assert_eq!(all.failed(&set, 1, &node, later), Some(FIRST * 2));
        let much_later = later + LONGEST * 3;
        assert_eq!(all.failed(&set, 1, &node, much_later), None);
        assert_eq!(all.failed(&set, 1, &node, much_later), Some(FIRST));
        all.tidy(much_later + LONGEST * 3);
        assert!(all.0.is_empty());
    }
}
