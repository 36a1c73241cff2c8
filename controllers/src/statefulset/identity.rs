//! The names that pods and claims of a StatefulSet have.

use crate::api::{ClaimSource, Pod, StatefulSet};
use machinery::meta::Istr;

/// The label with a pod's name, by which a Service can select it.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label with a pod's ordinal.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The set's name and the ordinal that a pod's name tells. The ordinal is `None` where it is larger than any can be.
pub fn parse(pod: &str) -> Option<(&str, Option<i64>)> {
    let (parent, digits) = pod.rsplit_once('-')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((parent, digits.parse::<i32>().ok().map(i64::from)))
}

/// The pod's ordinal.
pub fn ordinal(pod: &Pod) -> Option<i64> {
    parse(&pod.metadata.name).and_then(|(_, ordinal)| ordinal)
}

/// Whether the pod's name is one that the set gives.
pub fn is_member(set: &StatefulSet, pod: &Pod) -> bool {
    parse(&pod.metadata.name).is_some_and(|(parent, _)| parent == &*set.metadata.name)
}

/// The name of the pod with this ordinal.
pub fn pod_name(set: &StatefulSet, ordinal: i64) -> String {
    format!("{}-{ordinal}", set.metadata.name)
}

/// The name of the claim of a template for the pod with this ordinal.
pub fn claim_name(set: &StatefulSet, template: &str, ordinal: i64) -> Istr {
    format!("{template}-{}-{ordinal}", set.metadata.name).into()
}

/// Whether the pod is labelled with its name.
pub fn identity_matches(set: &StatefulSet, pod: &Pod) -> bool {
    let name = &pod.metadata.name;
    ordinal(pod).is_some_and(|ordinal| *name == pod_name(set, ordinal))
        && pod.metadata.labels.get(POD_NAME) == Some(name)
}

/// Whether the pod uses the claims that the set's templates make for it.
pub fn storage_matches(set: &StatefulSet, pod: &Pod) -> bool {
    let Some(ordinal) = ordinal(pod) else {
        return false;
    };
    set.spec.volume_claim_templates.iter().all(|template| {
        let claim = claim_name(set, &template.name, ordinal);
        pod.spec.claims.iter().any(|volume| {
            volume.name == template.name
                && matches!(&volume.source, ClaimSource::Named(name) if *name == claim)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, stateful_set};
    use serde_json::json;

    #[test]
    fn names_tell_set_and_ordinal() {
        for (name, want) in [
            ("web-0", Some(("web", Some(0)))),
            ("a-b-12", Some(("a-b", Some(12)))),
            ("web-007", Some(("web", Some(7)))),
            ("web-99999999999", Some(("web", None))),
            ("web", None),
            ("web-", None),
            ("web-x", None),
            ("web-1x", None),
        ] {
            assert_eq!(parse(name), want, "{name}");
        }
    }

    #[test]
    fn a_pod_has_its_name_and_its_claims() {
        let set = stateful_set("web", 1, |spec| {
            spec["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": {} }])
        });
        let volumes =
            |claim: &str| json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]);
        let good = pod("web-0")
            .label(POD_NAME, "web-0")
            .with("/spec/volumes", volumes("data-web-0"))
            .build();
        assert!(is_member(&set, &good) && identity_matches(&set, &good) && storage_matches(&set, &good));
        let other = pod("web-0").with("/spec/volumes", volumes("data-web-1")).build();
        assert!(!identity_matches(&set, &other) && !storage_matches(&set, &other));
        assert!(!is_member(&set, &pod("webs-0").build()));
        assert!(
            !identity_matches(&set, &pod("web-00").label(POD_NAME, "web-00").build()),
            "no set writes that name"
        );
    }
}
