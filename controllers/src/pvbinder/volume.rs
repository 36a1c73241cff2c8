//! What becomes of a volume.

use super::claim::BOUND_BY_CONTROLLER;
use super::matching::modes_match;
use crate::api::{Claim, Volume};

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// What is to be done about a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be in this phase.
    Phase(&'static str),
    /// Its claim does not know of it yet.
    WakeClaim,
    /// It cannot serve the claim that it is kept for.
    Mismatch,
    /// Its claim has another volume.
    Unbind,
    /// Its claim is gone. `Some`: what is wrong with its reclaim policy, so that it has failed.
    Release(Option<Failure>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: &'static str,
    pub message: String,
}

/// Decides about a volume; `claim` is the one that it refers to, if that is still there.
pub fn decide(volume: &Volume, claim: Option<&Claim>) -> Verdict {
    let Some(held) = volume.spec.claim_ref.as_ref().filter(|held| !held.uid.is_empty()) else {
        return Verdict::Phase("Available");
    };
    let annotations = &volume.metadata.annotations;
    match claim.filter(|claim| claim.metadata.uid == held.uid) {
        None => Verdict::Release(failure(volume)),
        Some(claim) if claim.spec.volume_name == volume.metadata.name => Verdict::Phase("Bound"),
        Some(claim) if claim.spec.volume_name.is_empty() => {
            if modes_match(claim, volume) {
                Verdict::WakeClaim
            } else {
                Verdict::Mismatch
            }
        }
        // It was made for that claim, which took another one.
        Some(_) if annotations.contains_key(PROVISIONED_BY) && volume.spec.reclaim_policy == "Delete" => {
            Verdict::Release(failure(volume))
        }
        Some(_) => Verdict::Unbind,
    }
}

/// Whether the volume that is unbound had not been asked for by a user, so that nothing of the claim stays.
pub fn forgets_claim(volume: &Volume) -> bool {
    volume.metadata.annotations.contains_key(BOUND_BY_CONTROLLER)
}

/// What keeps the reclaim policy from being carried out here. What an external provisioner made, it deletes.
fn failure(volume: &Volume) -> Option<Failure> {
    let name = &volume.metadata.name;
    let external = volume.spec.csi.is_some() || volume.metadata.annotations.contains_key(PROVISIONED_BY);
    match &*volume.spec.reclaim_policy {
        "Delete" if !external => Some(Failure {
            reason: "VolumeFailedDelete",
            message: format!(
                "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
            ),
        }),
        "Recycle" => Some(Failure {
            reason: "VolumeFailedRecycle",
            message: "No recycler plugin found for the volume!".to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn volume(change: impl FnOnce(&mut Value)) -> Volume {
        let mut object = json!({ "metadata": { "name": "v", "annotations": {} },
            "spec": { "persistentVolumeReclaimPolicy": "Retain", "claimRef": { "name": "c", "namespace": "n", "uid": "u" } } });
        change(&mut object);
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn claim(uid: &str, volume: &str) -> Claim {
        let object = json!({ "metadata": { "name": "c", "namespace": "n", "uid": uid }, "spec": { "volumeName": volume } });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn the_claim_decides() {
        let plain = || volume(|_| {});
        let policy = |policy: &str| volume(|v| v["spec"]["persistentVolumeReclaimPolicy"] = policy.into());
        for (volume, claim, want) in [
            (
                volume(|v| v["spec"]["claimRef"] = Value::Null),
                None,
                Verdict::Phase("Available"),
            ),
            (
                volume(|v| v["spec"]["claimRef"]["uid"] = "".into()),
                Some(claim("u", "")),
                Verdict::Phase("Available"),
            ),
            (plain(), Some(claim("u", "v")), Verdict::Phase("Bound")),
            (plain(), Some(claim("u", "")), Verdict::WakeClaim),
            (plain(), Some(claim("u", "other")), Verdict::Unbind),
            (plain(), Some(claim("another", "v")), Verdict::Release(None)),
            (plain(), None, Verdict::Release(None)),
            (
                volume(|v| v["spec"]["volumeMode"] = "Block".into()),
                Some(claim("u", "")),
                Verdict::Mismatch,
            ),
        ] {
            assert_eq!(decide(&volume, claim.as_ref()), want);
        }
        assert!(
            matches!(decide(&policy("Delete"), None), Verdict::Release(Some(why)) if why.reason == "VolumeFailedDelete")
        );
        assert!(
            matches!(decide(&policy("Recycle"), None), Verdict::Release(Some(why)) if why.reason == "VolumeFailedRecycle")
        );
        let csi = volume(|v| {
            v["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
            v["spec"]["csi"] = json!({ "driver": "d" });
        });
        assert_eq!(decide(&csi, None), Verdict::Release(None));
    }
}
