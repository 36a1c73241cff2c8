//! Pods that still have the finalizer though no Job will count them any more.

use super::TRACKING;
use crate::api::{Job, Pod};
use machinery::meta::{Istr, ObjectKey, OwnerRef};
use serde_json::{Value, json};

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Suspect {
    Pod(ObjectKey),
    /// All pods of the Job with this uid.
    PodsOf(Istr),
}

/// Whether this owner is a Job.
pub fn is_job(owner: &OwnerRef) -> bool {
    owner.kind == "Job" && owner.api_version == "batch/v1"
}

/// Whether the pod is to be freed. `job` is what the cache has under the name of its owner.
pub fn is_abandoned(pod: &Pod, job: Option<&Job>) -> bool {
    if !pod.metadata.has_finalizer(TRACKING) {
        return false;
    }
    let Some(owner) = pod.metadata.controller() else {
        return true;
    };
    let job = job.filter(|job| job.metadata.uid == owner.uid);
    is_job(owner) && job.is_none_or(|job| job.is_finished() && job.foreign_manager().is_none())
}

/// A strategic merge patch that takes the finalizer off the pod with this uid.
pub fn freeing_patch(pod: &Istr) -> Value {
    json!({ "metadata": { "uid": pod, "$deleteFromPrimitiveList/finalizers": [TRACKING] } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{job, owned, pod};

    #[test]
    fn pods_that_nobody_counts_are_freed() {
        let held = |name: &str| pod(name).with("/metadata/finalizers", json!([TRACKING]));
        let mut running = job("j", json!({}));
        assert!(is_abandoned(&held("orphan").build(), None));
        assert!(!is_abandoned(&pod("plain").build(), None));
        let mine = owned(held("mine"), &running).build();
        assert!(is_abandoned(&mine, None), "the Job is gone");
        assert!(!is_abandoned(&mine, Some(&running)));
        let mut namesake = running.clone();
        namesake.metadata.uid = "another".into();
        assert!(is_abandoned(&mine, Some(&namesake)));
        running.status =
            serde_json::from_value(json!({ "conditions": [{ "type": "Complete", "status": "True" }] }))
                .unwrap();
        assert!(is_abandoned(&mine, Some(&running)));
        running.spec.managed_by = Some("example.com/other".into());
        assert!(!is_abandoned(&mine, Some(&running)));
        let foreign = held("x").with(
            "/metadata/ownerReferences",
            json!([{ "apiVersion": "x/v1", "kind": "Job", "name": "j", "uid": "u", "controller": true }]),
        );
        assert!(!is_abandoned(&foreign.build(), None));
    }
}
