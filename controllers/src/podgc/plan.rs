//! Which pods to delete, and why.

use crate::api::{ConditionStatus, Node, Phase, Pod};
use machinery::meta::Istr;
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
use std::sync::Arc;

/// Why a pod is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It ended, and so did more pods than are kept.
    Terminated,
    /// It is being deleted on a node that is out of service.
    OutOfService,
    /// Its node is gone.
    Orphaned,
    /// It is being deleted and was never given a node.
    Unscheduled,
}

impl Why {
    /// The label of `pod_gc_collector_force_delete_pods_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::OutOfService => "out-of-service",
            Self::Orphaned => "orphaned",
            Self::Unscheduled => "unscheduled",
        }
    }
}

fn is_evicted(pod: &Pod) -> bool {
    pod.status.phase == Phase::Failed && pod.status.reason == "Evicted"
}

fn is_out_of_service(node: &Node) -> bool {
    let ready = node
        .condition("Ready")
        .is_some_and(|ready| ready.status == ConditionStatus::True);
    !ready
        && node
            .spec
            .taints
            .iter()
            .any(|taint| &*taint.key == "node.kubernetes.io/out-of-service")
}

/// Decides about all pods. `node` looks one up; `gone` are nodes that certainly do not exist any more; as many as `keep` ended pods are
/// kept, or all if that is 0. The pods that were evicted go first, then the oldest.
pub fn plan(
    pods: &[Arc<Pod>],
    node: impl Fn(&str) -> Option<Arc<Node>>,
    gone: &FxHashSet<Istr>,
    keep: usize,
) -> Vec<(Arc<Pod>, Why)> {
    let mut plan: Vec<(Arc<Pod>, Why)> = Vec::new();
    let mut ended: Vec<&Arc<Pod>> = pods.iter().filter(|pod| pod.status.phase.is_terminal()).collect();
    let too_many = if keep == 0 {
        0
    } else {
        ended.len().saturating_sub(keep)
    };
    let mut terminated = FxHashSet::default();
    if too_many > 0 {
        ended.sort_by_key(|pod| {
            let created = pod.metadata.creation_timestamp;
            (
                Reverse(is_evicted(pod)),
                created,
                pod.metadata.name.clone(),
                pod.metadata.namespace.clone(),
            )
        });
        terminated.extend(
            ended
                .into_iter()
                .take(too_many)
                .map(|pod| pod.metadata.uid.clone()),
        );
    }
    for pod in pods {
        let name = &pod.spec.node_name;
        let deleting = pod.metadata.is_deleting();
        let why = if !name.is_empty() && gone.contains(name) {
            Why::Orphaned
        } else if terminated.contains(&pod.metadata.uid) {
            Why::Terminated
        } else if deleting && name.is_empty() {
            Why::Unscheduled
        } else if deleting && node(name).is_some_and(|node| is_out_of_service(&node)) {
            Why::OutOfService
        } else {
            continue;
        };
        plan.push((pod.clone(), why));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, node, pod};
    use serde_json::json;

    fn deleting(pod: PodBuilder) -> PodBuilder {
        pod.with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z")
    }

    fn run(pods: Vec<PodBuilder>, keep: usize) -> Vec<(String, Why)> {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::arc).collect();
        let taint = json!([{ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "value": "nodeshutdown" }]);
        let lookup = |name: &str| {
            let ready =
                json!([{ "type": "Ready", "status": if name == "tainted" { "True" } else { "Unknown" } }]);
            match name {
                "dead" => Some(Arc::new(node(name).with("/status/conditions", ready).build())),
                "out" | "tainted" => Some(Arc::new(
                    node(name)
                        .with("/status/conditions", ready)
                        .with("/spec/taints", taint.clone())
                        .build(),
                )),
                _ => None,
            }
        };
        let gone = [Istr::from("gone")].into_iter().collect();
        plan(&pods, lookup, &gone, keep)
            .into_iter()
            .map(|(pod, why)| (pod.metadata.name.to_string(), why))
            .collect()
    }

    #[test]
    fn pods_without_a_keeper_are_deleted() {
        let pods = vec![
            pod("fine").node("dead"),
            pod("waits for its kubelet").node("dead"),
            deleting(pod("terminating").node("dead")),
            deleting(pod("out").node("out")),
            pod("not deleted").node("out"),
            deleting(pod("ready after all").node("tainted")),
            pod("orphan").node("gone"),
            deleting(pod("orphan too").node("gone")),
            pod("in quarantine").node("missing"),
            deleting(pod("never scheduled")),
            pod("pending"),
        ];
        let want = [
            ("out", Why::OutOfService),
            ("orphan", Why::Orphaned),
            ("orphan too", Why::Orphaned),
            ("never scheduled", Why::Unscheduled),
        ];
        assert_eq!(run(pods, 0), want.map(|(name, why)| (name.to_owned(), why)));
    }

    #[test]
    fn ended_pods_beyond_the_threshold_go_evicted_ones_first() {
        let pods = || {
            vec![
                pod("young").phase("Succeeded").created_at(300),
                pod("old").phase("Failed").created_at(100),
                pod("evicted")
                    .phase("Failed")
                    .created_at(400)
                    .with("/status/reason", "Evicted"),
                pod("middle").phase("Succeeded").created_at(200),
                pod("runs").phase("Running").created_at(1),
            ]
        };
        let names = |keep| {
            run(pods(), keep)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(2), ["old", "evicted"]);
        assert_eq!(names(3), ["evicted"]);
        assert!(names(4).is_empty() && names(0).is_empty());
    }
}
