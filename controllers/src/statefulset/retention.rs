//! Who owns the claims, so that the garbage collector takes them when the policy says so.
//!
//! | scaled down | set deleted | owner |
//! |---|---|---|
//! | Retain | Retain | nobody |
//! | Retain | Delete | the set |
//! | Delete | Retain | the pod, once it is condemned |
//! | Delete | Delete | the set; the pod, once it is condemned |

use crate::api::{Pod, Retention, StatefulSet};
use crate::statefulset::identity;
use machinery::meta::resources::{PODS, STATEFUL_SETS};
use machinery::meta::{Istr, ObjectMeta, OwnerRef, Resource};

/// A set and a pod of it, as they look at a claim. The uid of a pod that is not there yet is empty.
#[derive(Clone, Copy)]
pub struct Owners<'a> {
    pub set: &'a StatefulSet,
    pub pod: &'a ObjectMeta,
}

/// What is to be done about a claim's owners.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are as they should be, or not our business.
    Keep,
    /// They are to be these.
    Write(Vec<OwnerRef>),
}

fn names(owner: &OwnerRef, resource: &Resource, meta: &ObjectMeta) -> bool {
    *owner.api_version == *resource.api_version() && *owner.kind == *resource.kind && owner.name == meta.name
}

/// Whether the claim belongs to another object of this name, gone by now.
pub fn is_stale(claim: &ObjectMeta, resource: &Resource, meta: &ObjectMeta) -> bool {
    claim
        .owner_references
        .iter()
        .find(|owner| names(owner, resource, meta))
        .is_some_and(|owner| owner.uid != meta.uid)
}

impl Owners<'_> {
    fn policy(&self) -> (Retention, Retention) {
        let policy = self.set.spec.retention();
        (policy.when_scaled, policy.when_deleted)
    }

    /// Whether somebody else manages the claim although the policy asks for owners of ours.
    pub fn is_contested(&self, claim: &ObjectMeta) -> bool {
        if self.policy() == (Retention::Retain, Retention::Retain) {
            return false;
        }
        for owner in &claim.owner_references {
            let ours = [(&STATEFUL_SETS, &self.set.metadata), (&PODS, self.pod)];
            if let Some((_, meta)) = ours
                .into_iter()
                .find(|(resource, meta)| names(owner, resource, meta))
            {
                if owner.uid != meta.uid {
                    return true;
                }
            } else if owner.is_controller() {
                return true;
            }
        }
        false
    }

    fn wanted(&self) -> (bool, bool) {
        let condemned = || {
            !identity::parse(&self.pod.name)
                .and_then(|(_, ordinal)| ordinal)
                .is_some_and(|ordinal| self.set.spec.ordinals().contains(&ordinal))
        };
        match self.policy() {
            (Retention::Retain, Retention::Retain) => (false, false),
            (Retention::Retain, Retention::Delete) => (true, false),
            (Retention::Delete, Retention::Retain) => (false, condemned()),
            (Retention::Delete, Retention::Delete) => (!condemned(), condemned()),
        }
    }

    /// What the claim's owners are to be.
    pub fn verdict(&self, claim: &ObjectMeta) -> Verdict {
        let set = &self.set.metadata;
        if is_stale(claim, &STATEFUL_SETS, set) || is_stale(claim, &PODS, self.pod) {
            return Verdict::Keep; // the garbage collector's
        }
        let owns = |uid: &Istr| claim.owner_references.iter().any(|owner| owner.uid == *uid);
        let (by_set, by_pod) = (owns(&set.uid), owns(&self.pod.uid));
        let contested = self.is_contested(claim);
        let wanted = if contested { (false, false) } else { self.wanted() };
        let demoted = !contested
            && claim
                .owner_references
                .iter()
                .any(|owner| (owner.uid == set.uid || owner.uid == self.pod.uid) && !owner.is_controller());
        if (by_set, by_pod) == wanted && !demoted {
            return Verdict::Keep;
        }
        let mut owners: Vec<_> = claim
            .owner_references
            .iter()
            .filter(|owner| !names(owner, &STATEFUL_SETS, set) && !names(owner, &PODS, self.pod))
            .cloned()
            .collect();
        for (wanted, resource, meta) in [(wanted.1, &PODS, self.pod), (wanted.0, &STATEFUL_SETS, set)] {
            if wanted && !owners.iter().any(|owner| owner.uid == meta.uid) {
                owners.push(OwnerRef::controller(resource, meta));
            }
        }
        Verdict::Write(owners)
    }

    /// Whether the owners of the claim are as they should be.
    pub fn is_kept(&self, claim: &ObjectMeta) -> bool {
        self.verdict(claim) == Verdict::Keep
    }
}

/// Whether the claim keeps a new pod of this name from being made: it is still to be deleted with a pod of before.
pub fn blocks(set: &StatefulSet, pod: &ObjectMeta, claim: &ObjectMeta) -> bool {
    set.spec.retention().when_scaled == Retention::Delete && is_stale(claim, &PODS, pod)
}

/// The pod's part in [`Owners`].
pub fn owners<'a>(set: &'a StatefulSet, pod: &'a Pod) -> Owners<'a> {
    Owners {
        set,
        pod: &pod.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, stateful_set};
    use serde_json::json;

    fn set(scaled: &str, deleted: &str) -> StatefulSet {
        stateful_set("web", 2, |spec| {
            spec["persistentVolumeClaimRetentionPolicy"] =
                json!({ "whenScaled": scaled, "whenDeleted": deleted });
        })
    }

    fn claim(owners: &[OwnerRef]) -> ObjectMeta {
        ObjectMeta {
            owner_references: owners.to_vec(),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn the_policy_decides_who_owns() {
        let (inside, condemned) = (pod("web-1").build(), pod("web-2").build());
        for (scaled, deleted, pod, by_set, by_pod) in [
            ("Retain", "Retain", &inside, false, false),
            ("Retain", "Delete", &inside, true, false),
            ("Retain", "Delete", &condemned, true, false),
            ("Delete", "Retain", &inside, false, false),
            ("Delete", "Retain", &condemned, false, true),
            ("Delete", "Delete", &inside, true, false),
            ("Delete", "Delete", &condemned, false, true),
        ] {
            let set = set(scaled, deleted);
            let (mine, pods) = (
                OwnerRef::controller(&STATEFUL_SETS, &set.metadata),
                OwnerRef::controller(&PODS, &pod.metadata),
            );
            let want: Vec<_> = [by_pod.then(|| pods.clone()), by_set.then(|| mine.clone())]
                .into_iter()
                .flatten()
                .collect();
            let all = owners(&set, pod);
            assert!(all.is_kept(&claim(&want)), "{scaled} {deleted}");
            for wrong in [
                vec![],
                vec![mine.clone()],
                vec![pods.clone()],
                vec![pods.clone(), mine.clone()],
            ] {
                let kept = wrong == want;
                match all.verdict(&claim(&wrong)) {
                    Verdict::Keep => assert!(kept),
                    Verdict::Write(owners) => assert!(!kept && owners == want),
                }
            }
        }
    }

    #[test]
    fn other_managers_and_stale_owners_are_respected() {
        let (set, pod) = (set("Delete", "Delete"), pod("web-0").build());
        let all = owners(&set, &pod);
        let mut foreign = OwnerRef::controller(&STATEFUL_SETS, &set.metadata);
        foreign.name = "other".into();
        foreign.uid = "other".into();
        assert!(all.is_contested(&claim(std::slice::from_ref(&foreign))));
        assert!(all.is_kept(&claim(std::slice::from_ref(&foreign))));
        let mine = OwnerRef::controller(&STATEFUL_SETS, &set.metadata);
        assert_eq!(
            all.verdict(&claim(&[foreign.clone(), mine.clone()])),
            Verdict::Write(vec![foreign])
        );
        let mut stale = OwnerRef::controller(&PODS, &pod.metadata);
        stale.uid = "before".into();
        assert!(all.is_kept(&claim(std::slice::from_ref(&stale))));
        assert!(blocks(&set, &pod.metadata, &claim(&[stale])));
        let plain = OwnerRef {
            controller: None,
            ..mine.clone()
        };
        assert_eq!(all.verdict(&claim(&[plain])), Verdict::Write(vec![mine]));
    }
}
