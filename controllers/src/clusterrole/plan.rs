//! The rules of an aggregated role.

use machinery::arith::{LabelSelector, Selector};
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An rbac.authorization.k8s.io/v1 `ClusterRole`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRole {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub rules: Vec<Rule>,
    pub aggregation_rule: Option<Aggregation>,
}

impl Object for ClusterRole {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Aggregation {
    #[serde(deserialize_with = "null_default")]
    pub cluster_role_selectors: Vec<LabelSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "null_default")]
    pub verbs: Vec<Istr>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<Istr>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Istr>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<Istr>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<Istr>,
}

/// The rules that the role is to have, if they differ from those that it has: those of the selected roles, by selector and then by
/// name, each once.
pub fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<Rule>> {
    let aggregation = role.aggregation_rule.as_ref()?;
    let mut rules: Vec<Rule> = Vec::new();
    for selector in &aggregation.cluster_role_selectors {
        let selector = Selector::try_from(selector).ok()?;
        let mut selected: Vec<_> = all
            .iter()
            .filter(|other| other.metadata.name != role.metadata.name)
            .filter(|other| selector.matches(|key| other.metadata.labels.get(key)))
            .collect();
        selected.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        for rule in selected.into_iter().flat_map(|other| &other.rules) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    (rules != role.rules).then_some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn role(name: &str, label: &str, verbs: &[&str]) -> Value {
        json!({ "metadata": { "name": name, "labels": { label: "true" } },
            "rules": verbs.iter().map(|verb| json!({ "verbs": [verb], "apiGroups": [""], "resources": ["pods"] })).collect::<Vec<_>>() })
    }

    fn decoded(role: &Value) -> Arc<ClusterRole> {
        Arc::new(serde_json::from_str(&role.to_string()).unwrap())
    }

    #[test]
    fn rules_are_gathered_once_each() {
        let mut top = role("top", "other", &[]);
        top["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": { "a": "true" } }, { "matchLabels": { "b": "true" } }] });
        let all: Vec<_> = [
            role("z", "a", &["get"]),
            role("y", "a", &["list", "get"]),
            role("x", "b", &["watch"]),
            role("w", "c", &["delete"]),
        ]
        .iter()
        .map(decoded)
        .collect();
        let rules = plan(&decoded(&top), &all).unwrap();
        let verbs: Vec<_> = rules.iter().map(|rule| rule.verbs[0].to_string()).collect();
        assert_eq!(verbs, ["list", "get", "watch"]);
        top["rules"] = json!(rules);
        assert_eq!(plan(&decoded(&top), &all), None);
        assert_eq!(plan(&all[0], &all), None);
    }
}
