//! What a namespace's status says about its deletion.

use super::plan::Findings;
use crate::api::{ConditionStatus, NamespaceCondition};
use machinery::meta::Time;
use std::collections::BTreeMap;

/// Type, and what is said while all is well.
const KINDS: [(&str, &str, &str); 5] = [
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    (
        "NamespaceContentRemaining",
        "ContentRemoved",
        "All content successfully removed",
    ),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
];

/// The reason and message of one type, if something is not well.
fn problem(kind: &str, findings: &Findings) -> Option<(&'static str, String)> {
    let listed = |mut parts: Vec<String>| {
        parts.sort();
        parts.join(", ")
    };
    match kind {
        "NamespaceDeletionDiscoveryFailure" => findings
            .discovery
            .clone()
            .map(|message| ("DiscoveryFailed", message)),
        "NamespaceDeletionContentFailure" if !findings.failures.is_empty() => {
            let count = findings.failures.len();
            let message = format!(
                "Failed to delete all resource types, {count} remaining: {}",
                listed(findings.failures.clone())
            );
            Some(("ContentDeletionFailed", message))
        }
        "NamespaceContentRemaining" if !findings.remains.is_empty() => {
            let parts = findings
                .remains
                .iter()
                .map(|remains| format!("{} has {} resource instances", remains.name, remains.count));
            Some((
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", listed(parts.collect())),
            ))
        }
        "NamespaceFinalizersRemaining" => {
            let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
            for (finalizer, count) in findings.remains.iter().flat_map(|remains| &remains.finalizers) {
                *finalizers.entry(finalizer).or_default() += count;
            }
            let parts: Vec<_> = finalizers
                .iter()
                .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
                .collect();
            let message = || {
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    parts.join(", ")
                )
            };
            (!parts.is_empty()).then(|| ("SomeFinalizersRemain", message()))
        }
        _ => None,
    }
}

/// The conditions after a round of deletion, if they differ from `held`. Those of other types are kept.
pub fn updated(
    held: &[NamespaceCondition],
    findings: &Findings,
    now: Time,
) -> Option<Vec<NamespaceCondition>> {
    let mut conditions = held.to_vec();
    for (kind, well, all_well) in KINDS {
        let (status, reason, message) = match problem(kind, findings) {
            Some((reason, message)) => (ConditionStatus::True, reason, message),
            None => (ConditionStatus::False, well, all_well.to_owned()),
        };
        let at = conditions.iter().position(|condition| condition.kind == kind);
        let since = at
            .and_then(|at| conditions.get(at))
            .filter(|old| old.status == status);
        let since = since.map_or(Some(now), |old| old.last_transition_time);
        let new = NamespaceCondition {
            kind: kind.into(),
            status,
            last_transition_time: since,
            reason: reason.into(),
            message: message.into(),
        };
        match at.and_then(|at| conditions.get_mut(at)) {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
    (conditions != held).then_some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::plan::Remains;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    fn said<'c>(conditions: &'c [NamespaceCondition], kind: &str) -> (ConditionStatus, &'c str, &'c str) {
        let found = conditions
            .iter()
            .find(|condition| condition.kind == kind)
            .unwrap();
        (found.status, &found.reason, &found.message)
    }

    #[test]
    fn conditions_tell_what_is_left_in_upstreams_words() {
        let remains = |name: &str, count, finalizers: &[(&str, usize)]| Remains {
            name: name.into(),
            count,
            finalizers: finalizers
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            ..Remains::default()
        };
        let findings = Findings {
            discovery: None,
            remains: vec![
                remains("pods.", 2, &[("a/b", 1)]),
                remains("jobs.batch", 1, &[("a/b", 1), ("c", 1)]),
            ],
            failures: vec!["z".into(), "b".into()],
        };
        let other = NamespaceCondition {
            kind: "Other".into(),
            status: ConditionStatus::True,
            last_transition_time: None,
            reason: "".into(),
            message: "".into(),
        };
        let first = updated(std::slice::from_ref(&other), &findings, at(10)).unwrap();
        assert_eq!(first[0], other);
        assert_eq!(
            said(&first, "NamespaceDeletionDiscoveryFailure"),
            (
                ConditionStatus::False,
                "ResourcesDiscovered",
                "All resources successfully discovered"
            )
        );
        let failed = "Failed to delete all resource types, 2 remaining: b, z";
        assert_eq!(
            said(&first, "NamespaceDeletionContentFailure"),
            (ConditionStatus::True, "ContentDeletionFailed", failed)
        );
        let left = "Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances";
        assert_eq!(
            said(&first, "NamespaceContentRemaining"),
            (ConditionStatus::True, "SomeResourcesRemain", left)
        );
        let stuck = "Some content in the namespace has finalizers remaining: a/b in 2 resource instances, c in 1 resource instances";
        assert_eq!(
            said(&first, "NamespaceFinalizersRemaining"),
            (ConditionStatus::True, "SomeFinalizersRemain", stuck)
        );

        assert_eq!(
            updated(&first, &findings, at(20)),
            None,
            "nothing new, nothing written"
        );
        let empty = updated(&first, &Findings::default(), at(30)).unwrap();
        assert_eq!(
            said(&empty, "NamespaceContentRemaining").0,
            ConditionStatus::False
        );
        let times: Vec<_> = empty
            .iter()
            .skip(1)
            .map(|condition| condition.last_transition_time)
            .collect();
        assert_eq!(
            times,
            [
                Some(at(10)),
                Some(at(10)),
                Some(at(30)),
                Some(at(30)),
                Some(at(30))
            ],
            "only changes of status count as transitions"
        );
    }
}
