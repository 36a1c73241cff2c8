//! What the failure of a pod means, and when enough indexes have succeeded.

use super::indexes::Indexes;
use crate::api::{Ended, FailureAction, FailureRule, Operator, Pod, PodFailurePolicy, SuccessPolicy};

/// What a policy says about a failed pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The action of the rule that matched.
    pub action: Option<FailureAction>,
    /// Why the whole Job fails, if it does.
    pub fails_job: Option<String>,
}

impl Ruling {
    /// Whether the failure counts towards limits.
    pub fn counts(&self) -> bool {
        self.action != Some(FailureAction::Ignore)
    }
}

fn exit_matched<'p>(rule: &FailureRule, pod: &'p Pod) -> Option<&'p Ended> {
    let wanted = rule.on_exit_codes.as_ref()?;
    let (main, init) = (
        &pod.status.container_statuses.ended,
        &pod.status.init_container_statuses.ended,
    );
    main.iter().chain(init).find(|container| {
        let listed = wanted.values.contains(&container.exit_code);
        container.exit_code != 0
            && wanted
                .container_name
                .as_ref()
                .is_none_or(|name| *name == container.name)
            && match wanted.operator {
                Operator::In => listed,
                Operator::NotIn => !listed,
                Operator::Unknown => false,
            }
    })
}

/// The first rule that matches decides; without one the failure counts.
pub fn rule(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Ruling {
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    for (at, rule) in policy
        .map(|policy| &*policy.rules)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let why = if rule.on_exit_codes.is_some() {
            exit_matched(rule, pod).map(|container| {
                format!(
                    "Container {} for pod {namespace}/{name} failed with exit code {} matching FailJob rule at index {at}",
                    container.name, container.exit_code
                )
            })
        } else {
            let matched = pod.status.conditions.iter().find(|condition| {
                rule.on_pod_conditions
                    .iter()
                    .any(|wanted| wanted.kind == condition.kind && wanted.status == condition.status)
            });
            matched.map(|condition| {
                format!(
                    "Pod {namespace}/{name} has condition {} matching FailJob rule at index {at}",
                    condition.kind
                )
            })
        };
        match (why, rule.action) {
            (None, _) | (_, FailureAction::Unknown) => {}
            (Some(why), action) => {
                return Ruling {
                    action: Some(action),
                    fails_job: (action == FailureAction::FailJob).then_some(why),
                };
            }
        }
    }
    Ruling::default()
}

/// Which rule is satisfied by the indexes that have succeeded, in words.
pub fn satisfied(policy: Option<&SuccessPolicy>, completions: usize, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let at = policy?.rules.iter().position(|rule| {
        let enough = |have: usize| {
            rule.succeeded_count
                .is_some_and(|count| have >= usize::try_from(count).unwrap_or(0))
        };
        match &rule.succeeded_indexes {
            None => enough(succeeded.len()),
            Some(text) => {
                let wanted = Indexes::parse(text, completions);
                let have = wanted.overlap(succeeded);
                !wanted.is_empty() && (have == wanted.len() || enough(have))
            }
        }
    })?;
    Some(format!("Matched rules at index {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    fn failed(code: i32) -> Pod {
        pod("p")
            .phase("Failed")
            .with(
                "/status/containerStatuses",
                json!([{ "name": "ok", "state": { "terminated": { "exitCode": 0 } } },
                       { "name": "c", "state": { "terminated": { "exitCode": code } } }, { "name": "runs", "state": { "running": {} } }]),
            )
            .build()
    }

    fn policy(rules: serde_json::Value) -> PodFailurePolicy {
        let mut policy = json!({});
        policy["rules"] = rules;
        serde_json::from_value(policy).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = policy(json!([
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailIndex", "onExitCodes": { "containerName": "other", "operator": "In", "values": [1] } },
            { "action": "FailJob", "onExitCodes": { "operator": "In", "values": [1, 2] } },
            { "action": "Count", "onExitCodes": { "containerName": "c", "operator": "NotIn", "values": [7] } },
        ]));
        let ruling = rule(Some(&policy), &failed(2));
        assert_eq!(ruling.action, Some(FailureAction::FailJob));
        assert_eq!(
            ruling.fails_job.as_deref(),
            Some("Container c for pod default/p failed with exit code 2 matching FailJob rule at index 2")
        );
        assert_eq!(rule(Some(&policy), &failed(3)).action, Some(FailureAction::Count));
        assert_eq!(rule(Some(&policy), &failed(7)), Ruling::default());
        let disrupted = pod("p")
            .with(
                "/status/conditions",
                json!([{ "type": "DisruptionTarget", "status": "True" }]),
            )
            .build();
        assert!(!rule(Some(&policy), &disrupted).counts());
        assert!(rule(None, &failed(2)).counts());
    }

    #[test]
    fn a_condition_can_fail_the_job() {
        let policy = policy(
            json!([{ "action": "FailJob", "onPodConditions": [{ "type": "ConfigIssue", "status": "True" }] }]),
        );
        let pod = pod("p")
            .with(
                "/status/conditions",
                json!([{ "type": "ConfigIssue", "status": "True" }]),
            )
            .build();
        assert_eq!(
            rule(Some(&policy), &pod).fails_job.as_deref(),
            Some("Pod default/p has condition ConfigIssue matching FailJob rule at index 0")
        );
    }

    #[test]
    fn success_is_a_matter_of_indexes_and_counts() {
        let policy: SuccessPolicy = serde_json::from_value(json!({ "rules": [
            { "succeededIndexes": "0,2-3" }, { "succeededIndexes": "4-9", "succeededCount": 2 }, { "succeededCount": 5 }] }))
        .unwrap();
        for (done, rule) in [
            ("", None),
            ("0,2", None),
            ("0,2,3", Some(0)),
            ("4,9", Some(1)),
            ("0,1,2,4", None),
            ("0,1,2,4,5", Some(1)),
            ("1,2,3,4,10", Some(2)),
        ] {
            let want = rule.map(|at: i32| format!("Matched rules at index {at}"));
            assert_eq!(
                satisfied(Some(&policy), 20, &Indexes::parse(done, 20)),
                want,
                "{done}"
            );
        }
    }
}
