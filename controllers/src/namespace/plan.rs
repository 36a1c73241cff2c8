//! What to delete, and what follows from what is left.

use machinery::client::Discovery;
use machinery::meta::{ObjectMeta, Resource};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long finalizers are given before the next look.
const FINALIZERS: Duration = Duration::from_secs(15);

/// A kind whose objects can be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: Resource,
    /// Whether all of a namespace's objects can be deleted with one request.
    pub at_once: bool,
    pub listable: bool,
}

/// Everything to delete in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Targets {
    pub pods: Option<Target>,
    pub others: Vec<Target>,
}

/// Each namespaced kind that can be deleted, in the version that the server prefers.
pub fn targets(discovery: &Discovery) -> Targets {
    let mut targets = Targets::default();
    let deletable = |found: &&machinery::client::DiscoveredResource| {
        found.resource.namespaced && found.preferred && found.can(&["delete"])
    };
    for found in discovery.resources.iter().filter(deletable) {
        let target = Target {
            resource: found.resource.clone(),
            at_once: found.can(&["deletecollection"]),
            listable: found.can(&["list"]),
        };
        if found.resource.group.is_empty() && found.resource.plural == "pods" {
            targets.pods = Some(target);
        } else {
            targets.others.push(target);
        }
    }
    targets
}

/// What is left of one kind after its deletion was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// `pods.`, `deployments.apps`: plural, dot, group.
    pub name: String,
    pub count: usize,
    pub finalizers: BTreeMap<String, usize>,
    /// How long it may take until the rest is gone.
    pub estimate: Duration,
}

/// Sums up the objects that are left. `age` is how long ago the namespace was deleted: nothing may take longer than its own grace period
/// since then.
///
/// # Errors
/// When there is no reason for them to be there still.
pub fn remains<'m>(
    target: &Target,
    namespace: &str,
    left: impl IntoIterator<Item = &'m ObjectMeta>,
    age: Duration,
) -> (Remains, Option<String>) {
    let Resource {
        group,
        version,
        plural,
        ..
    } = &target.resource;
    let mut remains = Remains {
        name: format!("{plural}.{group}"),
        ..Remains::default()
    };
    for meta in left {
        remains.count += 1;
        for finalizer in &meta.finalizers {
            *remains.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
        let grace = Duration::from_secs(meta.deletion_grace_period_seconds.unwrap_or(0).unsigned_abs());
        remains.estimate = remains.estimate.max(grace);
    }
    if age >= remains.estimate {
        remains.estimate = Duration::ZERO;
    }
    if remains.count == 0 || !remains.estimate.is_zero() {
        return (remains, None);
    }
    if !remains.finalizers.is_empty() {
        remains.estimate = FINALIZERS;
        return (remains, None);
    }
    let problem = format!(
        "unexpected items still remain in namespace: {namespace} for gvr: {group}/{version}, Resource={plural}"
    );
    (remains, Some(problem))
}

/// What one round of deletion found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why some kinds are not known.
    pub discovery: Option<String>,
    pub remains: Vec<Remains>,
    /// What went wrong, kind by kind.
    pub failures: Vec<String>,
}

/// What to do next about a namespace.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left: take our finalizer off.
    Empty,
    /// Wait for what is on its way out.
    Wait(Duration),
    /// Try again with back-off.
    Failed(String),
}

impl Findings {
    pub fn add(&mut self, (remains, failure): (Remains, Option<String>)) {
        self.failures.extend(failure);
        if remains.count > 0 {
            self.remains.push(remains);
        }
    }

    pub fn verdict(&self) -> Verdict {
        let failures: Vec<&str> = self
            .discovery
            .iter()
            .chain(&self.failures)
            .map(String::as_str)
            .collect();
        if !failures.is_empty() {
            return Verdict::Failed(failures.join("; "));
        }
        match self.remains.iter().map(|remains| remains.estimate).max() {
            None => Verdict::Empty,
            Some(longest) => Verdict::Wait(longest / 2 + Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::client::DiscoveredResource;
    use serde_json::{Value, json};

    fn found(
        group: &str,
        plural: &str,
        namespaced: bool,
        verbs: &[&str],
        preferred: bool,
    ) -> DiscoveredResource {
        let resource = Resource::discovered(group, "v1", plural, "Kind", namespaced);
        DiscoveredResource {
            resource,
            verbs: verbs.iter().map(ToString::to_string).collect(),
            preferred,
        }
    }

    #[test]
    fn what_can_be_deleted_is_deleted_pods_apart() {
        let all = ["list", "delete", "deletecollection"];
        let discovery = Discovery {
            resources: vec![
                found("", "services", true, &["list", "delete"], true),
                found("", "pods", true, &all, true),
                found("", "nodes", false, &all, true),
                found("", "bindings", true, &["create"], true),
                found("apps", "deployments", true, &all, true),
                found("apps", "deployments", true, &all, false),
                found("metrics.k8s.io", "pods", true, &["list"], true),
            ],
            stale: vec![],
        };
        let targets = targets(&discovery);
        assert_eq!(targets.pods.unwrap().resource.plural, "pods");
        let others: Vec<_> = targets
            .others
            .iter()
            .map(|target| (target.resource.to_string(), target.at_once))
            .collect();
        assert_eq!(
            others,
            [
                ("services".to_owned(), false),
                ("deployments.apps".to_owned(), true)
            ]
        );
    }

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_left_is_waited_for_as_long_as_it_may_take() {
        let target = Target {
            resource: machinery::meta::resources::PODS,
            at_once: true,
            listable: true,
        };
        let secs = Duration::from_secs;
        for (what, left, age, estimate, fails) in [
            ("nothing", vec![], 0, 0, false),
            (
                "a pod that ends",
                vec![
                    json!({ "deletionGracePeriodSeconds": 30 }),
                    json!({ "deletionGracePeriodSeconds": 5 }),
                ],
                3,
                30,
                false,
            ),
            (
                "a pod that should have ended",
                vec![json!({ "deletionGracePeriodSeconds": 30 })],
                31,
                0,
                true,
            ),
            (
                "a finalizer",
                vec![json!({ "finalizers": ["a/b"] })],
                3,
                15,
                false,
            ),
            (
                "a finalizer after the grace period",
                vec![json!({ "finalizers": ["a/b"], "deletionGracePeriodSeconds": 1 })],
                3,
                15,
                false,
            ),
            ("something that should be gone", vec![json!({})], 3, 0, true),
        ] {
            let left: Vec<_> = left.into_iter().map(meta).collect();
            let (remains, failure) = remains(&target, "n", &left, secs(age));
            assert_eq!(
                (remains.count, remains.estimate, failure.is_some()),
                (left.len(), secs(estimate), fails),
                "{what}"
            );
        }
    }

    #[test]
    fn a_namespace_is_done_when_nothing_is_left_and_nothing_failed() {
        let mut findings = Findings::default();
        assert_eq!(findings.verdict(), Verdict::Empty);
        let some = |seconds| {
            (
                Remains {
                    count: 1,
                    estimate: Duration::from_secs(seconds),
                    ..Remains::default()
                },
                None,
            )
        };
        findings.add((Remains::default(), None));
        assert_eq!(findings.verdict(), Verdict::Empty);
        findings.add(some(4));
        findings.add(some(30));
        assert_eq!(findings.verdict(), Verdict::Wait(Duration::from_secs(16)));
        findings.failures.push("no".into());
        assert_eq!(findings.verdict(), Verdict::Failed("no".into()));
        let unknown = Findings {
            discovery: Some("stale".into()),
            ..Findings::default()
        };
        assert_eq!(unknown.verdict(), Verdict::Failed("stale".into()));
    }
}
