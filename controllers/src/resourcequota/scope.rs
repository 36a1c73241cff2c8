//! Which pods and claims a quota is about.

use super::claim::Claim;
use crate::api::{Pod, ResourceQuotaSpec, ScopeExpression};
use machinery::meta::Istr;

/// Whether a value (none where the object has none) is as the expression asks.
fn accepts(expression: &ScopeExpression, value: Option<&Istr>) -> bool {
    let listed = value.is_some_and(|value| expression.values.contains(value));
    match &*expression.operator {
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn pod_matches(expression: &ScopeExpression, pod: &Pod) -> bool {
    let spec = &pod.spec;
    match &*expression.scope_name {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => pod.status.qos_class == "BestEffort",
        "NotBestEffort" => pod.status.qos_class != "BestEffort",
        "PriorityClass" => {
            let class = Some(&spec.priority_class_name).filter(|class| !class.is_empty());
            accepts(expression, class)
        }
        "CrossNamespacePodAffinity" => spec.affinity.crosses_namespaces,
        _ => false,
    }
}

fn claim_matches(expression: &ScopeExpression, claim: &Claim) -> bool {
    if expression.scope_name != "VolumeAttributesClass" {
        return false;
    }
    let classes = claim.attribute_classes();
    if classes.is_empty() {
        return accepts(expression, None);
    }
    classes.into_iter().any(|class| accepts(expression, Some(class)))
}

fn all(spec: &ResourceQuotaSpec, matches: impl Fn(&ScopeExpression) -> bool) -> bool {
    let plain = spec.scopes.iter().all(|scope| {
        matches(&ScopeExpression {
            scope_name: scope.clone(),
            operator: "Exists".into(),
            values: Vec::new(),
        })
    });
    let selected = spec.scope_selector.as_ref();
    plain && selected.is_none_or(|selector| selector.match_expressions.iter().all(matches))
}

/// Whether the quota is about the pod.
pub fn takes_pod(spec: &ResourceQuotaSpec, pod: &Pod) -> bool {
    all(spec, |expression| pod_matches(expression, pod))
}

/// Whether the quota is about the claim.
pub fn takes_claim(spec: &ResourceQuotaSpec, claim: &Claim) -> bool {
    all(spec, |expression| claim_matches(expression, claim))
}

/// Whether the quota is about objects of other kinds, to which no scope applies.
pub fn takes_others(spec: &ResourceQuotaSpec) -> bool {
    all(spec, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn spec(json: Value) -> ResourceQuotaSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn all_scopes_must_take_the_pod() {
        let plain = pod("plain").with("/status/qosClass", "BestEffort");
        let timed = pod("timed").with("/spec/activeDeadlineSeconds", 5);
        let important = pod("important").with("/spec/priorityClassName", "high");
        let term = json!([{ "topologyKey": "x", "namespaces": ["other"] }]);
        let social = pod("social").with(
            "/spec/affinity",
            json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term } }),
        );
        let pods = [plain, timed, important, social].map(crate::testing::PodBuilder::build);
        let class = |operator: &str, values: Value| json!({ "scopeSelector": { "matchExpressions": [{ "scopeName": "PriorityClass", "operator": operator, "values": values }] } });
        for (quota, taken) in [
            (json!({}), vec!["plain", "timed", "important", "social"]),
            (json!({ "scopes": ["Terminating"] }), vec!["timed"]),
            (
                json!({ "scopes": ["NotTerminating"] }),
                vec!["plain", "important", "social"],
            ),
            (json!({ "scopes": ["BestEffort"] }), vec!["plain"]),
            (
                json!({ "scopes": ["NotBestEffort", "Terminating"] }),
                vec!["timed"],
            ),
            (class("Exists", json!(null)), vec!["important"]),
            (class("In", json!(["high"])), vec!["important"]),
            (class("In", json!(["low"])), vec![]),
            (class("NotIn", json!(["high"])), vec!["plain", "timed", "social"]),
            (json!({ "scopes": ["CrossNamespacePodAffinity"] }), vec!["social"]),
            (json!({ "scopes": ["OfTheFuture"] }), vec![]),
        ] {
            let spec = spec(quota);
            let names: Vec<_> = pods
                .iter()
                .filter(|pod| takes_pod(&spec, pod))
                .map(|pod| &*pod.metadata.name)
                .collect();
            assert_eq!(names, taken, "{spec:?}");
            assert_eq!(
                takes_others(&spec),
                spec.scopes.is_empty() && spec.scope_selector.is_none()
            );
        }
    }
}
