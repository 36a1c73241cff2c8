//! Whether a claim is used, and what follows from it.

use crate::api::{Claim, ClaimSource, ConditionStatus, Pod};
use machinery::meta::ObjectMeta;

pub const FINALIZER: &str = "kubernetes.io/pvc-protection";
/// The condition with which a bound claim says that no pod refers to it (KEP-5541).
pub const UNUSED: &str = "Unused";

/// What of a claim is to be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// It is bound: does any pod refer to it?
    IsReferred,
    /// It is deleted: does a pod on a node hold it?
    IsHeld,
    /// It lacks the finalizer.
    Unprotected,
}

/// What to look into.
pub fn questions(claim: &Claim) -> Vec<Question> {
    let (deleting, protected) = (
        claim.metadata.is_deleting(),
        claim.metadata.has_finalizer(FINALIZER),
    );
    let mut questions = Vec::new();
    if !deleting && claim.status.phase == "Bound" {
        questions.push(Question::IsReferred);
    }
    match (deleting, protected) {
        (true, true) => questions.push(Question::IsHeld),
        (false, false) => questions.push(Question::Unprotected),
        _ => {}
    }
    questions
}

fn names(pod: &Pod, claim: &ObjectMeta, ephemeral_too: bool) -> bool {
    pod.metadata.namespace == claim.namespace
        && pod.spec.claims.iter().any(|volume| match &volume.source {
            ClaimSource::Named(name) => *name == claim.name,
            ClaimSource::Ephemeral(_) => {
                ephemeral_too
                    && *claim.name == format!("{}-{}", pod.metadata.name, volume.name)
                    && claim.is_controlled_by(&pod.metadata.uid)
            }
        })
}

/// Whether the pod keeps the claim from being deleted: it is on a node. One that is shut down lets go of what came with it.
pub fn holds(pod: &Pod, claim: &ObjectMeta) -> bool {
    let shut_down = pod.metadata.is_deleting() && pod.metadata.deletion_grace_period_seconds == Some(0);
    !pod.spec.node_name.is_empty() && names(pod, claim, !shut_down)
}

/// Whether the pod refers to the claim, and has not ended.
pub fn refers(pod: &Pod, claim: &ObjectMeta) -> bool {
    !pod.status.phase.is_terminal() && names(pod, claim, true)
}

/// The `Unused` condition that is to be written, if any: status, reason, message.
pub fn unused(claim: &Claim, is_used: bool) -> Option<(&'static str, &'static str, &'static str)> {
    let held = claim
        .status
        .conditions
        .iter()
        .find(|condition| condition.kind == UNUSED)
        .map(|condition| condition.status);
    match (is_used, held) {
        (true, None | Some(ConditionStatus::True)) => {
            Some(("False", "PodUsingPVC", "A pod is currently referencing this PVC"))
        }
        (false, held) if held != Some(ConditionStatus::True) => Some((
            "True",
            "NoPodsUsingPVC",
            "No pods are currently referencing this PVC",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn claim(change: impl FnOnce(&mut Value)) -> Claim {
        let mut object = json!({ "metadata": { "name": "c", "namespace": "default", "finalizers": [FINALIZER] }, "status": { "phase": "Bound" } });
        change(&mut object);
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn what_matters_depends_on_the_claim() {
        let deleted = "2026-01-01T00:00:00Z";
        assert_eq!(questions(&claim(|_| {})), [Question::IsReferred]);
        assert_eq!(
            questions(&claim(|c| c["metadata"]["finalizers"] = json!([]))),
            [Question::IsReferred, Question::Unprotected]
        );
        assert_eq!(
            questions(&claim(|c| c["metadata"]["deletionTimestamp"] = deleted.into())),
            [Question::IsHeld]
        );
        assert!(questions(&claim(|c| c["status"]["phase"] = "Pending".into())).is_empty());
    }

    #[test]
    fn pods_on_nodes_hold_claims() {
        let volumes = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }]);
        let meta = claim(|_| {}).metadata;
        let user = || pod("p").with("/spec/volumes", volumes.clone());
        assert!(!holds(&user().build(), &meta) && refers(&user().build(), &meta));
        assert!(holds(&user().node("n").build(), &meta));
        let ended = user().node("n").phase("Succeeded").build();
        assert!(holds(&ended, &meta) && !refers(&ended, &meta));
        assert!(!holds(&pod("p").node("n").build(), &meta));

        let owned = claim(|c| {
            c["metadata"]["name"] = "p-v".into();
            c["metadata"]["ownerReferences"] =
                json!([{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": true }]);
        })
        .metadata;
        let with = || {
            pod("p").node("n").with(
                "/spec/volumes",
                json!([{ "name": "v", "ephemeral": { "volumeClaimTemplate": { "spec": {} } } }]),
            )
        };
        assert!(holds(&with().build(), &owned));
        let shut = with()
            .with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z")
            .with("/metadata/deletionGracePeriodSeconds", 0);
        assert!(!holds(&shut.build(), &owned));
    }

    #[test]
    fn the_condition_is_written_when_it_changes() {
        let told = |status: &str| {
            claim(|c| c["status"]["conditions"] = json!([{ "type": UNUSED, "status": status }]))
        };
        assert_eq!(unused(&claim(|_| {}), true).map(|told| told.0), Some("False"));
        assert_eq!(unused(&claim(|_| {}), false).map(|told| told.0), Some("True"));
        assert_eq!(unused(&told("True"), false), None);
        assert_eq!(unused(&told("False"), true), None);
        assert_eq!(unused(&told("True"), true).map(|told| told.0), Some("False"));
    }
}
