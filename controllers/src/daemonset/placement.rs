//! On which nodes a DaemonSet's pods may be.

use crate::api::{Node, Template};
use machinery::arith::node_affinity::{NodeSelector, Term, terms};
use machinery::arith::taint::untolerated;
use machinery::arith::{TaintEffect, Toleration};
use machinery::meta::{Istr, Labels, null_default};
use serde::Deserialize;

/// What of a template decides where its pods may be.
#[derive(Debug)]
pub struct Placement {
    node_name: Istr,
    node_selector: Labels,
    /// `None` where the affinity requires nothing.
    terms: Option<Box<[Term]>>,
    tolerations: Vec<Toleration>,
}

/// Whether a node is to have a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One is to run.
    Run,
    /// None is to be made, but one that is there may stay.
    Stay,
    /// None may be there.
    Leave,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Istr,
    #[serde(deserialize_with = "null_default")]
    node_selector: Labels,
    affinity: Option<Affinity>,
    #[serde(deserialize_with = "null_default")]
    tolerations: Vec<Toleration>,
    host_network: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

/// The taints that the pods of every DaemonSet tolerate, in the order in which upstream adds them.
const ALWAYS: [(&str, TaintEffect); 6] = [
    ("node.kubernetes.io/not-ready", TaintEffect::NoExecute),
    ("node.kubernetes.io/unreachable", TaintEffect::NoExecute),
    ("node.kubernetes.io/disk-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/memory-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/pid-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/unschedulable", TaintEffect::NoSchedule),
];
const ON_HOST_NETWORK: (&str, TaintEffect) =
    ("node.kubernetes.io/network-unavailable", TaintEffect::NoSchedule);

/// `tolerations` with those that the pods of a DaemonSet have anyway. One with the same key, operator, value and effect is
/// replaced, so that it tolerates for ever.
pub fn with_daemon_tolerations(mut tolerations: Vec<Toleration>, host_network: bool) -> Vec<Toleration> {
    for (key, effect) in ALWAYS.into_iter().chain(host_network.then_some(ON_HOST_NETWORK)) {
        let wanted = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect),
            ..Toleration::default()
        };
        let mut found = false;
        for held in &mut tolerations {
            if (&held.key, &held.operator, held.effect) == (&wanted.key, &wanted.operator, wanted.effect)
                && held.value.as_deref().unwrap_or_default().is_empty()
            {
                found = true;
                held.toleration_seconds = None;
            }
        }
        if !found {
            tolerations.push(wanted);
        }
    }
    tolerations
}

impl Placement {
    /// # Errors
    /// When the template does not decode.
    pub fn new(template: &Template) -> Result<Self, serde_json::Error> {
        let Parts { spec } = serde_json::from_str(template.raw().get())?;
        let required = spec
            .affinity
            .and_then(|affinity| affinity.node_affinity)
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution);
        Ok(Self {
            node_name: spec.node_name,
            node_selector: spec.node_selector,
            terms: required.as_ref().map(terms),
            tolerations: with_daemon_tolerations(spec.tolerations, spec.host_network),
        })
    }

    /// Whether the node is to have a pod.
    pub fn on(&self, node: &Node) -> Verdict {
        let labels = &node.metadata.labels;
        let named = self.node_name.is_empty() || self.node_name == node.metadata.name;
        let selected = self
            .node_selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        let affine = self.terms.as_ref().is_none_or(|terms| {
            terms
                .iter()
                .any(|term| term.matches(&node.metadata.name, |key| labels.get(key)))
        });
        if !(named && selected && affine) {
            return Verdict::Leave;
        }
        let repelled =
            |effects: &[TaintEffect]| untolerated(&node.spec.taints, &self.tolerations, effects).is_some();
        if repelled(&[TaintEffect::NoExecute]) {
            Verdict::Leave
        } else if repelled(&[TaintEffect::NoSchedule]) {
            Verdict::Stay
        } else {
            Verdict::Run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use serde_json::json;

    fn placement(spec: &serde_json::Value) -> Placement {
        let template: Template = serde_json::from_str(&json!({ "spec": spec }).to_string()).unwrap();
        Placement::new(&template).unwrap()
    }

    #[test]
    fn names_selectors_and_affinity_decide() {
        let gpu = node("n1").label("gpu", "yes").build();
        let affinity = |field: &str| {
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [field] }] }] } } } })
        };
        for (spec, want) in [
            (json!({}), Verdict::Run),
            (json!({ "nodeName": "n1" }), Verdict::Run),
            (json!({ "nodeName": "n2" }), Verdict::Leave),
            (json!({ "nodeSelector": { "gpu": "yes" } }), Verdict::Run),
            (json!({ "nodeSelector": { "gpu": "no" } }), Verdict::Leave),
            (affinity("n1"), Verdict::Run),
            (affinity("n2"), Verdict::Leave),
        ] {
            assert_eq!(placement(&spec).on(&gpu), want, "{spec}");
        }
    }

    #[test]
    fn taints_keep_away_or_drive_out() {
        let tainted = |key: &str, effect: &str| {
            node("n")
                .with("/spec/taints", json!([{ "key": key, "effect": effect }]))
                .build()
        };
        let (plain, host) = (placement(&json!({})), placement(&json!({ "hostNetwork": true })));
        for (node, want, want_host) in [
            (tainted("x", "NoSchedule"), Verdict::Stay, Verdict::Stay),
            (tainted("x", "NoExecute"), Verdict::Leave, Verdict::Leave),
            (tainted("x", "PreferNoSchedule"), Verdict::Run, Verdict::Run),
            (
                tainted("node.kubernetes.io/not-ready", "NoExecute"),
                Verdict::Run,
                Verdict::Run,
            ),
            (
                tainted("node.kubernetes.io/network-unavailable", "NoSchedule"),
                Verdict::Stay,
                Verdict::Run,
            ),
        ] {
            assert_eq!((plain.on(&node), host.on(&node)), (want, want_host));
        }
    }

    #[test]
    fn a_daemons_tolerations_last_for_ever() {
        let held: Vec<Toleration> = serde_json::from_value(json!([
            { "key": "a", "operator": "Exists" },
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }
        ]))
        .unwrap();
        let all = with_daemon_tolerations(held, false);
        assert_eq!(all.len(), 7);
        assert_eq!(all[1].toleration_seconds, None);
        assert_eq!(all[0].key.as_deref(), Some("a"));
    }
}
