//! Adopting orphans that match the selector, releasing what no longer does.

use machinery::arith::Selector;
use machinery::meta::{Istr, ObjectMeta, OwnerRef};
use serde_json::{Value, json};

/// An owner that looks for its objects.
pub struct Claimant<'a> {
    pub meta: &'a ObjectMeta,
    pub selector: &'a Selector,
}

/// What an owner does about one object of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the owner's already.
    Own,
    /// An orphan that matches: take it, after a check with the API server that the owner is not being deleted.
    Adopt,
    /// The owner's, but it no longer matches.
    Release,
    /// Somebody else's, or nobody's business.
    Ignore,
}

/// Decides about one object, as upstream's controller reference manager.
pub fn claim(claimant: &Claimant<'_>, object: &ObjectMeta) -> Claim {
    let matches = || claimant.selector.matches(|key| object.labels.get(key));
    match object.controller() {
        Some(owner) if owner.uid != claimant.meta.uid => Claim::Ignore,
        Some(_) if matches() => Claim::Own,
        Some(_) if claimant.meta.is_deleting() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if claimant.meta.is_deleting()
            || object.is_deleting()
            || object.namespace != claimant.meta.namespace =>
        {
            Claim::Ignore
        }
        None if matches() => Claim::Adopt,
        None => Claim::Ignore,
    }
}

/// Decides about one object of which more is asked than the selector tells: one that is no `member` counts as not selected.
pub fn claim_member(claimant: &Claimant<'_>, object: &ObjectMeta, member: impl Fn() -> bool) -> Claim {
    match claim(claimant, object) {
        decision @ (Claim::Own | Claim::Adopt) if member() => decision,
        Claim::Own if !claimant.meta.is_deleting() => Claim::Release,
        Claim::Own | Claim::Adopt => Claim::Ignore,
        decision => decision,
    }
}

/// A strategic merge patch that makes `owner` the controller of the object with this uid.
pub fn adoption_patch(owner: &OwnerRef, object: &Istr) -> Value {
    json!({ "metadata": { "uid": object, "ownerReferences": [owner] } })
}

/// A strategic merge patch that removes the owner from the object with this uid.
pub fn release_patch(owner: &Istr, object: &Istr) -> Value {
    json!({ "metadata": { "uid": object, "ownerReferences": [{ "$patch": "delete", "uid": owner }] } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::arith::LabelSelector;

    fn meta(json: Value) -> ObjectMeta {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn objects_are_claimed_by_reference_and_selector() {
        let selector: LabelSelector =
            serde_json::from_value(json!({ "matchLabels": { "app": "web" } })).unwrap();
        let selector = Selector::try_from(&selector).unwrap();
        let owner = meta(json!({ "name": "o", "namespace": "n", "uid": "u" }));
        let dying = meta(
            json!({ "name": "o", "namespace": "n", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z" }),
        );
        let mine = json!([{ "apiVersion": "v1", "kind": "K", "name": "o", "uid": "u", "controller": true }]);
        let others =
            json!([{ "apiVersion": "v1", "kind": "K", "name": "x", "uid": "x", "controller": true }]);
        let uncontrolled = json!([{ "apiVersion": "v1", "kind": "K", "name": "o", "uid": "u" }]);
        for (what, labels, owners, deleting, want, want_dying) in [
            ("owned and matching", "web", &mine, false, Claim::Own, Claim::Own),
            (
                "owned, no longer matching",
                "db",
                &mine,
                false,
                Claim::Release,
                Claim::Ignore,
            ),
            (
                "somebody else's",
                "web",
                &others,
                false,
                Claim::Ignore,
                Claim::Ignore,
            ),
            (
                "a reference that does not control",
                "web",
                &uncontrolled,
                false,
                Claim::Adopt,
                Claim::Ignore,
            ),
            (
                "an orphan that matches",
                "web",
                &json!([]),
                false,
                Claim::Adopt,
                Claim::Ignore,
            ),
            (
                "an orphan that does not",
                "db",
                &json!([]),
                false,
                Claim::Ignore,
                Claim::Ignore,
            ),
            (
                "an orphan on its way out",
                "web",
                &json!([]),
                true,
                Claim::Ignore,
                Claim::Ignore,
            ),
        ] {
            let mut object = meta(
                json!({ "name": "p", "namespace": "n", "uid": "p", "labels": { "app": labels }, "ownerReferences": owners }),
            );
            if deleting {
                object.deletion_timestamp.clone_from(&dying.deletion_timestamp);
            }
            assert_eq!(
                claim(
                    &Claimant {
                        meta: &owner,
                        selector: &selector
                    },
                    &object
                ),
                want,
                "{what}"
            );
            assert_eq!(
                claim(
                    &Claimant {
                        meta: &dying,
                        selector: &selector
                    },
                    &object
                ),
                want_dying,
                "{what}, owner being deleted"
            );
        }
    }
}
