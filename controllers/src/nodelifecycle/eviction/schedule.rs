//! When pods leave.

use super::plan::Verdict;
use machinery::meta::{Istr, ObjectKey};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Leave {
    uid: Istr,
    since: Instant,
    at: Instant,
}

/// What to do about a pod now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Look again then.
    Wait(Duration),
    /// Its time was over that long ago.
    Evict {
        late: Duration,
    },
    /// It may stay after all.
    Cancelled,
}

/// The pods that are to leave later.
#[derive(Debug, Default)]
pub struct Schedule(FxHashMap<ObjectKey, Leave>);

impl Schedule {
    /// Files a verdict about a pod. Its time runs from the first one; a later verdict can only shorten it.
    pub fn file(&mut self, pod: &ObjectKey, uid: &Istr, verdict: Verdict, now: Instant) -> Step {
        if self.0.get(pod).is_some_and(|leave| leave.uid != *uid) {
            self.0.remove(pod);
        }
        let after = match verdict {
            Verdict::Stay if self.0.remove(pod).is_some() => return Step::Cancelled,
            Verdict::Stay => return Step::Nothing,
            Verdict::LeaveNow => Duration::ZERO,
            Verdict::LeaveAfter(after) => after,
        };
        let due = |since: Instant| {
            since
                .checked_add(after)
                .unwrap_or_else(|| since + Duration::from_secs(u32::MAX.into()))
        };
        let leave = self.0.entry(pod.clone()).or_insert_with(|| Leave {
            uid: uid.clone(),
            since: now,
            at: due(now),
        });
        leave.at = leave.at.min(due(leave.since).max(now));
        let left = leave.at.saturating_duration_since(now);
        if verdict == Verdict::LeaveNow || left.is_zero() {
            Step::Evict {
                late: now.saturating_duration_since(leave.at),
            }
        } else {
            Step::Wait(left)
        }
    }

    /// The pod is gone, or going.
    pub fn forget(&mut self, pod: &ObjectKey) {
        self.0.remove(pod);
    }

    /// Whether the pod is to leave.
    pub fn has(&self, pod: &ObjectKey) -> bool {
        self.0.contains_key(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_from_the_first_verdict() {
        let (mut schedule, pod, uid, start) = (
            Schedule::default(),
            ObjectKey::new("n", "p"),
            Istr::from("u"),
            Instant::now(),
        );
        let secs = Duration::from_secs;
        let later = |seconds| Verdict::LeaveAfter(secs(seconds));
        assert_eq!(schedule.file(&pod, &uid, Verdict::Stay, start), Step::Nothing);
        assert_eq!(
            schedule.file(&pod, &uid, later(300), start),
            Step::Wait(secs(300))
        );
        assert_eq!(
            schedule.file(&pod, &uid, later(300), start + secs(100)),
            Step::Wait(secs(200))
        );
        assert_eq!(
            schedule.file(&pod, &uid, later(600), start + secs(100)),
            Step::Wait(secs(200)),
            "no longer than before"
        );
        assert_eq!(
            schedule.file(&pod, &uid, later(150), start + secs(100)),
            Step::Wait(secs(50))
        );
        assert_eq!(
            schedule.file(&pod, &uid, later(150), start + secs(150)),
            Step::Evict { late: secs(0) }
        );
        assert!(schedule.has(&pod));
        assert_eq!(
            schedule.file(&pod, &uid, Verdict::Stay, start + secs(150)),
            Step::Cancelled
        );
        assert_eq!(
            schedule.file(&pod, &uid, later(300), start + secs(200)),
            Step::Wait(secs(300)),
            "after a cancellation anew"
        );
        assert_eq!(
            schedule.file(&pod, &Istr::from("v"), later(300), start + secs(300)),
            Step::Wait(secs(300)),
            "another pod of the name"
        );
        assert_eq!(
            schedule.file(&pod, &Istr::from("v"), Verdict::LeaveNow, start + secs(301)),
            Step::Evict { late: secs(0) }
        );
    }
}
