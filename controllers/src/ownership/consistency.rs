//! Whether the cache shows what an owner's last sync wrote. A plan made on older objects would repeat or undo it.

use machinery::meta::{Istr, ObjectMeta};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// After this long the cache is trusted again: what we wait for may have been deleted unseen.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Written {
    objects: FxHashMap<Istr, u64>,
    since: Option<Instant>,
}

/// The newest resource versions that each owner (by uid) wrote, until the cache shows them.
#[derive(Default)]
pub struct Consistency(Mutex<FxHashMap<Istr, Written>>);

/// Resource versions of one API server are numbers that grow (KEP-5504).
fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.parse().unwrap_or(0)
}

impl Consistency {
    /// The server answered a write with this object.
    pub fn wrote(&self, owner: &Istr, object: &ObjectMeta, now: Instant) {
        let mut owners = self.0.lock();
        let written = owners.entry(owner.clone()).or_default();
        written.objects.insert(object.uid.clone(), version(object));
        written.since = Some(now);
    }

    /// Whether all that was written is among `held`, the owner's objects (and itself) as the cache shows them.
    pub fn is_caught_up<'m>(
        &self,
        owner: &Istr,
        held: impl IntoIterator<Item = &'m ObjectMeta>,
        now: Instant,
    ) -> bool {
        let mut owners = self.0.lock();
        let Some(written) = owners.get_mut(owner) else {
            return true;
        };
        for meta in held {
            if written
                .objects
                .get(&meta.uid)
                .is_some_and(|wanted| version(meta) >= *wanted)
            {
                written.objects.remove(&meta.uid);
            }
        }
        let expired = written
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > PATIENCE);
        if written.objects.is_empty() || expired {
            owners.remove(owner);
            return true;
        }
        false
    }

    /// The owner is gone.
    pub fn forget(&self, owner: &Istr) {
        self.0.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: uid.into(),
            resource_version: version.into(),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_owner_waits_for_its_writes() {
        let (all, owner, now) = (Consistency::default(), Istr::from("o"), Instant::now());
        assert!(all.is_caught_up(&owner, [], now));
        all.wrote(&owner, &meta("a", "10"), now);
        all.wrote(&owner, &meta("b", "11"), now);
        assert!(!all.is_caught_up(&owner, [&meta("a", "9"), &meta("b", "100")], now));
        assert!(all.is_caught_up(&owner, [&meta("a", "10")], now));
        all.wrote(&owner, &meta("lost", "10"), now);
        assert!(!all.is_caught_up(&owner, [], now + PATIENCE / 2));
        assert!(all.is_caught_up(&owner, [], now + PATIENCE * 2));
    }
}
