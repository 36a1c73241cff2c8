//! Which volume suits a claim.

use crate::api::{Claim, StorageClass, Volume};
use machinery::arith::{Quantity, Selector};
use machinery::meta::{Istr, ObjectMeta};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// The claim's class; empty for none.
pub fn class_of_claim(claim: &Claim) -> &str {
    let named = claim.spec.storage_class_name.as_deref().unwrap_or_default();
    claim.metadata.annotations.get(CLASS).unwrap_or(named)
}

/// Whether the claim says anything about its class, be it that it wants none.
pub fn has_class(claim: &Claim) -> bool {
    claim.metadata.annotations.contains_key(CLASS) || claim.spec.storage_class_name.is_some()
}

fn class_of_volume(volume: &Volume) -> &str {
    volume
        .metadata
        .annotations
        .get(CLASS)
        .unwrap_or(&volume.spec.storage_class_name)
}

fn storage(quantities: &BTreeMap<Istr, Istr>) -> Quantity {
    quantities
        .get("storage")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn mode(mode: &str) -> &str {
    if mode.is_empty() { "Filesystem" } else { mode }
}

/// Whether both are block devices or both file systems.
pub fn modes_match(claim: &Claim, volume: &Volume) -> bool {
    mode(&claim.spec.volume_mode) == mode(&volume.spec.volume_mode)
}

/// Whether the volume is kept for this very claim.
pub fn is_reserved_for(volume: &Volume, claim: &ObjectMeta) -> bool {
    volume.spec.claim_ref.as_ref().is_some_and(|held| {
        held.name == claim.name
            && held.namespace == claim.namespace
            && (held.uid.is_empty() || held.uid == claim.uid)
    })
}

fn attributes_match(claim: &Claim, volume: &Volume) -> bool {
    claim
        .spec
        .volume_attributes_class_name
        .as_deref()
        .unwrap_or_default()
        == volume
            .spec
            .volume_attributes_class_name
            .as_deref()
            .unwrap_or_default()
}

fn has_access_modes(claim: &Claim, volume: &Volume) -> bool {
    claim
        .spec
        .access_modes
        .iter()
        .all(|mode| volume.spec.access_modes.contains(mode))
}

/// Why the volume that a claim names does not suit it.
pub fn mismatch(claim: &Claim, volume: &Volume) -> Option<String> {
    let why = if volume.metadata.is_deleting() {
        return Some(format!(
            "the volume is marked for deletion {:?}",
            volume.metadata.name
        ));
    } else if storage(&volume.spec.capacity) < storage(&claim.spec.resources.requests) {
        "requested PV is too small"
    } else if class_of_volume(volume) != class_of_claim(claim) {
        "storageClassName does not match"
    } else if !attributes_match(claim, volume) {
        "volumeAttributesClassName does not match"
    } else if !modes_match(claim, volume) {
        "incompatible volumeMode"
    } else if !has_access_modes(claim, volume) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// The best volume for a claim: one kept for it, or else the one with the fewest access modes, and among those the smallest. A claim
/// whose binding is delayed gets only what the scheduler kept for it.
pub fn best<'v>(claim: &Claim, volumes: &'v [Arc<Volume>], delayed: bool) -> Option<&'v Arc<Volume>> {
    let selector = match &claim.spec.selector {
        Some(selector) => Some(Selector::try_from(selector).ok()?),
        None => None,
    };
    let requested = storage(&claim.spec.resources.requests);
    let usable = |volume: &Volume| {
        (volume.spec.claim_ref.is_none() || is_reserved_for(volume, &claim.metadata))
            && storage(&volume.spec.capacity) >= requested
            && modes_match(claim, volume)
            && attributes_match(claim, volume)
            && !volume.metadata.is_deleting()
            && has_access_modes(claim, volume)
    };
    let free = |volume: &Volume| {
        !delayed
            && volume.status.phase == "Available"
            && selector
                .as_ref()
                .is_none_or(|selector| selector.matches(|key| volume.metadata.labels.get(key)))
            && class_of_volume(volume) == class_of_claim(claim)
    };
    let order = |a: &Volume, b: &Volume| -> Ordering {
        let key = |volume: &Volume| {
            (
                volume.spec.access_modes.len(),
                !is_reserved_for(volume, &claim.metadata),
            )
        };
        key(a)
            .cmp(&key(b))
            .then_with(|| storage(&a.spec.capacity).cmp(&storage(&b.spec.capacity)))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    };
    volumes
        .iter()
        .filter(|volume| usable(volume))
        .filter(|volume| is_reserved_for(volume, &claim.metadata) || free(volume))
        .min_by(|a, b| order(a, b))
}

/// The class that claims get which name none: the newest of those marked as default.
pub fn default_class(classes: &[Arc<StorageClass>]) -> Option<&Arc<StorageClass>> {
    let created = |class: &StorageClass| class.metadata.creation_timestamp.map(|time| time.0);
    classes
        .iter()
        .filter(|class| {
            DEFAULT_CLASS
                .iter()
                .any(|key| class.metadata.annotations.get(key) == Some("true"))
        })
        .min_by(|a, b| {
            created(b)
                .cmp(&created(a))
                .then_with(|| a.metadata.name.cmp(&b.metadata.name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim(change: impl FnOnce(&mut Value)) -> Claim {
        let mut object = json!({ "metadata": { "name": "c", "namespace": "n", "uid": "u" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "2Gi" } }, "storageClassName": "" } });
        change(&mut object["spec"]);
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn volume(name: &str, size: &str, change: impl FnOnce(&mut Value)) -> Arc<Volume> {
        let mut object = json!({ "metadata": { "name": name, "labels": { "v": name } }, "status": { "phase": "Available" },
            "spec": { "accessModes": ["ReadWriteOnce"], "capacity": { "storage": size } } });
        change(&mut object);
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    #[test]
    fn the_smallest_that_fits_is_chosen() {
        let volumes = [
            volume("small", "1Gi", |_| {}),
            volume("large", "9Gi", |_| {}),
            volume("fit", "3Gi", |_| {}),
            volume("many", "2Gi", |v| {
                v["spec"]["accessModes"] = json!(["ReadWriteOnce", "ReadOnlyMany"]);
            }),
            volume("block", "2Gi", |v| v["spec"]["volumeMode"] = "Block".into()),
            volume("classy", "2Gi", |v| v["spec"]["storageClassName"] = "gold".into()),
            volume("used", "2Gi", |v| v["status"]["phase"] = "Released".into()),
            volume("taken", "2Gi", |v| {
                v["spec"]["claimRef"] = json!({ "name": "x", "namespace": "n" });
            }),
        ];
        let name = |claim: &Claim, delayed| {
            best(claim, &volumes, delayed).map(|volume| volume.metadata.name.to_string())
        };
        assert_eq!(name(&claim(|_| {}), false).as_deref(), Some("fit"));
        assert_eq!(name(&claim(|_| {}), true), None);
        assert_eq!(
            name(&claim(|spec| spec["storageClassName"] = "gold".into()), false).as_deref(),
            Some("classy")
        );
        assert_eq!(
            name(
                &claim(|spec| spec["accessModes"] = json!(["ReadOnlyMany"])),
                false
            )
            .as_deref(),
            Some("many")
        );
        assert_eq!(
            name(
                &claim(|spec| spec["selector"] = json!({ "matchLabels": { "v": "large" } })),
                false
            )
            .as_deref(),
            Some("large")
        );
    }

    #[test]
    fn what_is_kept_for_the_claim_comes_first() {
        let kept = volume("kept", "9Gi", |v| {
            v["spec"]["claimRef"] = json!({ "name": "c", "namespace": "n" });
        });
        let volumes = [volume("fit", "3Gi", |_| {}), kept];
        assert_eq!(
            best(&claim(|_| {}), &volumes, true).map(|volume| &*volume.metadata.name),
            Some("kept")
        );
    }

    #[test]
    fn mismatches_are_named() {
        for (change, want) in [
            (json!({}), None),
            (
                json!({ "capacity": { "storage": "1Gi" } }),
                Some("requested PV is too small"),
            ),
            (
                json!({ "storageClassName": "x" }),
                Some("storageClassName does not match"),
            ),
            (json!({ "volumeMode": "Block" }), Some("incompatible volumeMode")),
            (
                json!({ "accessModes": ["ReadOnlyMany"] }),
                Some("incompatible accessMode"),
            ),
        ] {
            let volume = volume("v", "2Gi", |v| {
                for (key, value) in change.as_object().unwrap() {
                    v["spec"][key] = value.clone();
                }
            });
            assert_eq!(mismatch(&claim(|_| {}), &volume).as_deref(), want);
        }
    }

    #[test]
    fn the_newest_default_class_counts() {
        let class = |name: &str, default: &str, year: i32| -> Arc<StorageClass> {
            let object = json!({ "metadata": { "name": name, "creationTimestamp": format!("{year}-01-01T00:00:00Z"),
                "annotations": { "storageclass.kubernetes.io/is-default-class": default } } });
            Arc::new(serde_json::from_str(&object.to_string()).unwrap())
        };
        let classes = [
            class("old", "true", 2024),
            class("new", "true", 2025),
            class("none", "false", 2026),
        ];
        assert_eq!(
            default_class(&classes).map(|class| &*class.metadata.name),
            Some("new")
        );
    }
}
