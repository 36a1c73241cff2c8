//! The annotations that number rollouts and remember sizes, on ReplicaSets and on the Deployment.

use super::work::{Set, Work};
use crate::api::Deployment;
use machinery::meta::Annotations;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The Deployment's replicas when the set was last sized: tells a change of size from a rollout.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge: what proportions are computed from.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// The longest history annotation, in bytes.
const HISTORY_LENGTH: usize = 2_000;

/// The revision of a set; `None` if the annotation is no number.
pub fn revision(annotations: &Annotations) -> Option<i64> {
    annotations
        .get(REVISION)
        .map_or(Some(0), |text| text.parse().ok())
}

/// A number of pods in an annotation of a set.
pub fn count(set: &Set, annotation: &str) -> Option<i32> {
    set.annotations
        .get(annotation)?
        .parse()
        .ok()
        .filter(|count| *count >= 0)
}

/// Gives a set the Deployment's annotations and its revision number.
pub fn annotate(deployment: &Deployment, annotations: &mut Annotations, revision: i64) {
    for (key, value) in deployment.metadata.annotations.iter() {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key, value.clone());
        }
    }
    let held = annotations.get(REVISION).map(str::to_owned);
    let old = match held.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(old) => old,
            Err(_) => return, // somebody else's idea of a revision
        },
    };
    if old >= revision {
        return;
    }
    annotations.insert(REVISION, revision.to_string());
    // A set that had a revision is being rolled back to: keep the numbers it had.
    if let Some(held) = held {
        remember(annotations, &held);
    }
}

fn remember(annotations: &mut Annotations, revision: &str) {
    let history = annotations.get(REVISION_HISTORY).unwrap_or_default().to_owned();
    if history.is_empty() {
        annotations.insert(REVISION_HISTORY, revision);
        return;
    }
    let mut kept = history.as_str();
    while kept.len() + revision.len() + 1 > HISTORY_LENGTH {
        match kept.split_once(',') {
            Some((_, rest)) => kept = rest,
            None => return,
        }
    }
    annotations.insert(REVISION_HISTORY, format!("{kept},{revision}"));
}

/// Writes the Deployment's size on a set.
pub fn set_sizes(set: &mut Set, desired: i32, max: i32) {
    for (key, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, max)] {
        let value = value.to_string();
        if set.annotations.get(key) != Some(&value) {
            set.annotations.insert(key, value);
        }
    }
}

impl Work<'_> {
    /// One above the highest revision among the old sets.
    pub fn next_revision(&self) -> i64 {
        let old = self.old();
        old.iter()
            .filter_map(|index| revision(&self.sets.get(*index)?.annotations))
            .max()
            .unwrap_or(0)
            .max(0)
            + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::deployment;

    fn annotated(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|(k, v)| (*k, *v)).collect()
    }

    #[test]
    fn a_new_set_gets_annotations_and_a_number() {
        let mut d = deployment("d", 3);
        d.metadata.annotations = annotated(&[
            ("team", "x"),
            (REVISION, "9"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ]);
        let mut annotations = Annotations::new();
        annotate(&d, &mut annotations, 1);
        assert_eq!(annotations, annotated(&[("team", "x"), (REVISION, "1")]));
    }

    #[test]
    fn rolling_back_keeps_the_old_numbers() {
        let d = deployment("d", 3);
        for (before, revision, after) in [
            (
                vec![(REVISION, "1")],
                3,
                vec![(REVISION, "3"), (REVISION_HISTORY, "1")],
            ),
            (
                vec![(REVISION, "3"), (REVISION_HISTORY, "1")],
                5,
                vec![(REVISION, "5"), (REVISION_HISTORY, "1,3")],
            ),
            (vec![(REVISION, "5")], 5, vec![(REVISION, "5")]),
            (vec![(REVISION, "7")], 5, vec![(REVISION, "7")]),
            (vec![(REVISION, "x")], 5, vec![(REVISION, "x")]),
        ] {
            let mut annotations = annotated(&before);
            annotate(&d, &mut annotations, revision);
            assert_eq!(annotations, annotated(&after), "{before:?} to {revision}");
        }
    }

    #[test]
    fn history_is_cut_at_its_oldest_end() {
        let long = (0..600).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let mut annotations = annotated(&[(REVISION, "4242"), (REVISION_HISTORY, &long)]);
        annotate(&deployment("d", 1), &mut annotations, 5000);
        let history = annotations.get(REVISION_HISTORY).unwrap();
        assert!(history.len() <= HISTORY_LENGTH && history.ends_with(",598,599,4242"));
        assert!(history.starts_with(|c: char| c.is_ascii_digit()));
    }
}
