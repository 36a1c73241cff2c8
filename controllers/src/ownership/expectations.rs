//! Protection against a cache that lags behind our own writes: an owner whose last creations and deletions have not all been
//! seen must not count its objects, or it would create them twice.
//!
//! Creations are tracked by the uid that the API server answered with. The event may come before the answer does, so
//! uids seen while creations are in flight are remembered until the sync that made them ends.

use machinery::meta::Istr;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::{Duration, Instant};

/// After this long without news the cache is trusted again (upstream's `ExpectationsTimeout`).
pub const TIMEOUT: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
struct Pending {
    in_flight: usize,
    created: FxHashSet<Istr>,
    seen_early: FxHashSet<Istr>,
    deleted: FxHashSet<Istr>,
    since: Option<Instant>,
}

impl Pending {
    fn is_fulfilled(&self) -> bool {
        self.in_flight == 0 && self.created.is_empty() && self.deleted.is_empty()
    }
}

/// What each owner (by uid) still waits to see.
#[derive(Default)]
pub struct Expectations(Mutex<FxHashMap<Istr, Pending>>);

impl Expectations {
    /// `None` when everything was seen; else how long until the owner stops waiting.
    pub fn wait(&self, owner: &Istr, now: Instant) -> Option<Duration> {
        let mut owners = self.0.lock();
        let pending = owners.get(owner)?;
        let left = pending.since.map_or(Duration::ZERO, |since| {
            TIMEOUT.saturating_sub(now.saturating_duration_since(since))
        });
        if pending.is_fulfilled() || left.is_zero() {
            owners.remove(owner);
            return None;
        }
        Some(left)
    }

    /// `count` creations are about to be sent.
    pub fn creating(&self, owner: &Istr, count: usize, now: Instant) {
        let mut owners = self.0.lock();
        let pending = owners.entry(owner.clone()).or_default();
        pending.in_flight += count;
        pending.since = Some(now);
    }

    /// One creation was answered, with the new object's uid if it succeeded.
    pub fn created(&self, owner: &Istr, uid: Option<&Istr>) {
        self.on(owner, |pending| {
            pending.in_flight = pending.in_flight.saturating_sub(1);
            if let Some(uid) = uid
                && !pending.seen_early.remove(uid)
            {
                pending.created.insert(uid.clone());
            }
            if pending.in_flight == 0 {
                pending.seen_early = FxHashSet::default();
            }
        });
    }

    /// These are about to be deleted.
    pub fn deleting<'u>(&self, owner: &Istr, uids: impl IntoIterator<Item = &'u Istr>, now: Instant) {
        let mut owners = self.0.lock();
        let pending = owners.entry(owner.clone()).or_default();
        pending.deleted.extend(uids.into_iter().cloned());
        pending.since = Some(now);
    }

    /// The cache shows an object of the owner.
    pub fn saw_creation(&self, owner: &Istr, uid: &Istr) {
        self.on(owner, |pending| {
            if !pending.created.remove(uid) && pending.in_flight > 0 {
                pending.seen_early.insert(uid.clone());
            }
        });
    }

    /// The cache shows that an object is gone or going, or its deletion failed.
    pub fn saw_deletion(&self, owner: &Istr, uid: &Istr) {
        self.on(owner, |pending| {
            pending.deleted.remove(uid);
            if !pending.created.remove(uid) && pending.in_flight > 0 {
                pending.seen_early.insert(uid.clone());
            }
        });
    }

    /// The owner is gone.
    pub fn forget(&self, owner: &Istr) {
        self.0.lock().remove(owner);
    }

    fn on(&self, owner: &Istr, change: impl FnOnce(&mut Pending)) {
        let mut owners = self.0.lock();
        if let Some(pending) = owners.get_mut(owner) {
            change(pending);
            if pending.is_fulfilled() {
                owners.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_waits_until_its_writes_are_seen() {
        let (all, owner, now) = (Expectations::default(), Istr::from("o"), Instant::now());
        let (a, b) = (Istr::from("a"), Istr::from("b"));
        assert_eq!(all.wait(&owner, now), None);
        all.creating(&owner, 3, now);
        all.saw_creation(&owner, &a); // the event overtakes the answer
        all.created(&owner, Some(&a));
        all.created(&owner, Some(&b));
        all.created(&owner, None); // failed
        assert_eq!(all.wait(&owner, now), Some(TIMEOUT));
        all.saw_creation(&owner, &Istr::from("unrelated"));
        assert!(all.wait(&owner, now).is_some());
        all.saw_creation(&owner, &b);
        assert_eq!(all.wait(&owner, now), None);
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn deletions_are_seen_once_and_count_for_creations_too() {
        let (all, owner, now) = (Expectations::default(), Istr::from("o"), Instant::now());
        let (a, b) = (Istr::from("a"), Istr::from("b"));
        all.deleting(&owner, [&a, &b], now);
        all.saw_deletion(&owner, &a);
        all.saw_deletion(&owner, &a);
        assert!(all.wait(&owner, now).is_some());
        all.saw_deletion(&owner, &b);
        assert_eq!(all.wait(&owner, now), None);
        all.creating(&owner, 1, now);
        all.created(&owner, Some(&a));
        all.saw_deletion(&owner, &a);
        assert_eq!(all.wait(&owner, now), None);
    }

    #[test]
    fn waiting_ends() {
        let (all, owner, now) = (Expectations::default(), Istr::from("o"), Instant::now());
        all.creating(&owner, 1, now);
        all.created(&owner, Some(&Istr::from("lost")));
        assert_eq!(all.wait(&owner, now + TIMEOUT / 2), Some(TIMEOUT / 2));
        assert_eq!(all.wait(&owner, now + TIMEOUT), None);
    }
}
