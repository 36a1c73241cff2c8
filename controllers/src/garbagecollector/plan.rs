//! What becomes of one object.

use machinery::client::Propagation;
use machinery::meta::{Istr, ObjectMeta};
use serde_json::{Value, json};

/// What an owner turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It exists and stays.
    Solid,
    /// It does not exist.
    Gone,
    /// It is being deleted in the foreground: it waits for its dependents.
    Waiting,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Take these owners out of its references: there are others that keep it.
    Drop(Vec<Istr>),
    /// No owner is left.
    Delete(Propagation),
    /// Delete it in the foreground, after its own references stop blocking (`true`): it may be part of a circle.
    DeleteForeground {
        unblock: bool,
    },
}

/// Decides about an object by its owners. `dependents`: whether it has any; `circle`: whether one of them waits for its own.
pub fn plan(object: &ObjectMeta, owners: &[(Istr, Owner)], dependents: bool, circle: bool) -> Action {
    if owners.is_empty() {
        return Action::Nothing;
    }
    let of = |wanted: Owner| {
        owners
            .iter()
            .filter(move |(_, owner)| *owner == wanted)
            .map(|(uid, _)| uid.clone())
    };
    let useless: Vec<_> = of(Owner::Gone).chain(of(Owner::Waiting)).collect();
    if of(Owner::Solid).next().is_some() {
        return if useless.is_empty() {
            Action::Nothing
        } else {
            Action::Drop(useless)
        };
    }
    if of(Owner::Waiting).next().is_some() && dependents {
        return Action::DeleteForeground { unblock: circle };
    }
    Action::Delete(propagation(
        object.has_finalizer(super::graph::ORPHAN),
        object.has_finalizer(super::graph::FOREGROUND),
    ))
}

/// How an object is deleted, by its own finalizers.
pub fn propagation(orphan: bool, foreground: bool) -> Propagation {
    match (orphan, foreground) {
        (true, _) => Propagation::Orphan,
        (_, true) => Propagation::Foreground,
        _ => Propagation::Background,
    }
}

/// A merge patch that leaves out these owners, or, with `None`, makes none of them block.
pub fn references_patch(object: &ObjectMeta, without: Option<&[Istr]>) -> Value {
    let owners: Vec<_> = object
        .owner_references
        .iter()
        .filter(|owner| without.is_none_or(|gone| !gone.contains(&owner.uid)))
        .cloned()
        .map(|mut owner| {
            if without.is_none() {
                owner.block_owner_deletion = Some(false);
            }
            owner
        })
        .collect();
    json!({ "metadata": { "uid": object.uid, "resourceVersion": object.resource_version, "ownerReferences": owners } })
}

/// A merge patch that removes a finalizer.
pub fn finalizer_patch(object: &ObjectMeta, gone: &str) -> Value {
    let kept: Vec<_> = object
        .finalizers
        .iter()
        .filter(|finalizer| *finalizer != gone)
        .collect();
    json!({ "metadata": { "uid": object.uid, "resourceVersion": object.resource_version, "finalizers": kept } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Owner::{Gone, Solid, Waiting};

    #[test]
    fn owners_decide() {
        let object = ObjectMeta::default();
        let owned = |owners: &[Owner]| {
            owners
                .iter()
                .enumerate()
                .map(|(n, owner)| (Istr::from(n.to_string()), *owner))
                .collect::<Vec<_>>()
        };
        let uids = |uids: &[&str]| uids.iter().map(|uid| Istr::from(*uid)).collect::<Vec<_>>();
        for (owners, dependents, circle, want) in [
            (&[][..], true, false, Action::Nothing),
            (&[Solid], true, false, Action::Nothing),
            (&[Gone], false, false, Action::Delete(Propagation::Background)),
            (
                &[Gone, Solid, Waiting],
                false,
                false,
                Action::Drop(uids(&["0", "2"])),
            ),
            (&[Waiting], false, false, Action::Delete(Propagation::Background)),
            (
                &[Waiting, Gone],
                true,
                false,
                Action::DeleteForeground { unblock: false },
            ),
            (&[Waiting], true, true, Action::DeleteForeground { unblock: true }),
            (&[Gone], true, false, Action::Delete(Propagation::Background)),
        ] {
            assert_eq!(
                plan(&object, &owned(owners), dependents, circle),
                want,
                "{owners:?}"
            );
        }
    }

    #[test]
    fn an_objects_own_finalizers_say_how_it_goes() {
        for (finalizer, want) in [
            ("orphan", Propagation::Orphan),
            ("foregroundDeletion", Propagation::Foreground),
            ("x/y", Propagation::Background),
        ] {
            let object = ObjectMeta {
                finalizers: vec![finalizer.into()],
                ..ObjectMeta::default()
            };
            assert_eq!(
                plan(&object, &[("o".into(), Gone)], false, false),
                Action::Delete(want)
            );
        }
    }

    #[test]
    fn patches_keep_the_rest() {
        let object: ObjectMeta = serde_json::from_value(json!({ "uid": "u", "resourceVersion": "7", "finalizers": ["a", "orphan"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "K", "name": "x", "uid": "x", "blockOwnerDeletion": true }, { "apiVersion": "v1", "kind": "K", "name": "y", "uid": "y" }] }))
        .unwrap();
        assert_eq!(
            references_patch(&object, Some(&["x".into()]))["metadata"]["ownerReferences"],
            json!([{ "apiVersion": "v1", "kind": "K", "name": "y", "uid": "y" }])
        );
        assert_eq!(
            references_patch(&object, None)["metadata"]["ownerReferences"][0]["blockOwnerDeletion"],
            json!(false)
        );
        assert_eq!(
            finalizer_patch(&object, "orphan")["metadata"],
            json!({ "uid": "u", "resourceVersion": "7", "finalizers": ["a"] })
        );
    }
}
