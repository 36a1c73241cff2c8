//! In-place resize (KEP-1287): a pod's resources change while it runs.
//!
//! ```text
//! spec (wanted) ──decide──> allocated ──steps──> actuated ──> status
//!        └─> PodResizePending    └─> PodResizeInProgress
//! ```
//! What was allocated, and what was actuated, is on disk ([`checkpoint`]) before anything is done about it, in the form in
//! which upstream's kubelet keeps it. Everything else in the kubelet sees the pod with its allocated resources.

pub mod actuate;
pub mod checkpoint;
pub mod decide;
pub mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::meta::null_default;
use serde::{Deserialize, Serialize};

use super::resources::parse;
use super::spec::PodExt as _;
use crate::context::PodRef;

/// The resources of a pod that can change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PodResources {
    /// By container.
    #[serde(deserialize_with = "null_default")]
    pub container_resources: BTreeMap<String, core::ResourceRequirements>,
    /// Of the pod as a whole.
    pub pod_level_resources: Option<core::ResourceRequirements>,
    /// Upstream's, behind a gate that is off: kept as they were read.
    pub empty_dir_volume_limits: Option<BTreeMap<String, Text>>,
}

/// Those of a pod as its spec has them.
#[must_use]
pub fn of_spec(pod: &core::Pod) -> PodResources {
    let containers = pod.init().iter().chain(pod.app());
    PodResources {
        container_resources: containers
            .map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default()))
            .collect(),
        pod_level_resources: pod.spec().resources.clone(),
        empty_dir_volume_limits: None,
    }
}

/// The pod with these resources instead of the spec's; the same pod if that makes no difference.
#[must_use]
pub fn apply(pod: &PodRef, resources: &PodResources) -> PodRef {
    if is_same(pod, resources) {
        return Arc::clone(pod);
    }
    let mut changed = core::Pod::clone(pod);
    if let Some(spec) = changed.spec.as_mut() {
        spec.resources.clone_from(&resources.pod_level_resources);
        let init = spec.init_containers.iter_mut().flatten();
        for container in init.chain(&mut spec.containers) {
            if let Some(own) = resources.container_resources.get(&container.name) {
                container.resources = Some(own.clone());
            }
        }
    }
    Arc::new(changed)
}

/// Whether the spec asks for nothing else than these.
#[must_use]
pub fn is_same(pod: &core::Pod, resources: &PodResources) -> bool {
    let mut containers = pod.init().iter().chain(pod.app());
    equal(
        pod.spec().resources.as_ref(),
        resources.pod_level_resources.as_ref(),
    ) && containers.all(|c| {
        let known = resources.container_resources.get(&c.name);
        known.is_none_or(|known| equal(c.resources.as_ref(), Some(known)))
    })
}

/// Whether two are the same amounts, however they are written.
fn equal(a: Option<&core::ResourceRequirements>, b: Option<&core::ResourceRequirements>) -> bool {
    type List = Option<BTreeMap<String, Text>>;
    let list = |list: Option<&List>| -> BTreeMap<String, _> {
        let list = list.and_then(Option::as_ref).into_iter().flatten();
        list.map(|(name, text)| (name.clone(), parse(text))).collect()
    };
    list(a.map(|r| &r.limits)) == list(b.map(|r| &r.limits))
        && list(a.map(|r| &r.requests)) == list(b.map(|r| &r.requests))
}

/// A resize that waits for its turn, or for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` or `Infeasible`.
    pub reason: &'static str,
    /// Why.
    pub message: String,
    /// The generation of the pod that asks for it.
    pub generation: i64,
}

/// A resize that is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// The generation of the pod that asked for it.
    pub generation: i64,
    /// What went wrong; it is tried again.
    pub error: Option<String>,
}

/// What a pod's conditions say of resizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `PodResizePending`.
    pub pending: Option<Pending>,
    /// `PodResizeInProgress`.
    pub in_progress: Option<InProgress>,
}

impl Conditions {
    /// What the last kubelet has said.
    #[must_use]
    pub fn of(status: Option<&core::PodStatus>) -> Self {
        let condition = |kind: &str| {
            let all = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
            all.iter().find(|c| c.type_ == kind && c.status == "True")
        };
        Self {
            pending: condition("PodResizePending").map(|c| Pending {
                reason: match c.reason.as_deref() {
                    Some("Infeasible") => "Infeasible",
                    _ => "Deferred",
                },
                message: c.message.clone().unwrap_or_default(),
                generation: c.observed_generation.unwrap_or_default(),
            }),
            in_progress: condition("PodResizeInProgress").map(|c| InProgress {
                generation: c.observed_generation.unwrap_or_default(),
                error: c.reason.as_ref().and(c.message.clone()),
            }),
        }
    }
}

/// The words of an event: what the pod asks for.
#[must_use]
pub fn event(prefix: &str, pod: &core::Pod, generation: i64, error: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        init_containers: Vec<One<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        containers: Vec<One<'a>>,
        #[serde(skip_serializing_if = "is_zero")]
        generation: i64,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'a str,
    }
    #[derive(Serialize)]
    struct One<'a> {
        name: &'a str,
        resources: core::ResourceRequirements,
    }
    fn one(container: &core::Container) -> One<'_> {
        One {
            name: &container.name,
            resources: container.resources.clone().unwrap_or_default(),
        }
    }
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
    fn is_zero(n: &i64) -> bool {
        *n == 0
    }
    let summary = Summary {
        init_containers: pod.init().iter().map(one).collect(),
        containers: pod.app().iter().map(one).collect(),
        generation,
        error,
    };
    match serde_json::to_string(&summary) {
        Ok(summary) => format!("{prefix}: {summary}"),
        Err(_) => prefix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(cpu: &str) -> PodRef {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"uid": "u"},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_pod_shows_what_is_allocated_to_it() {
        let allocated = of_spec(&pod("1"));
        let same = pod("1000m");
        assert!(Arc::ptr_eq(&apply(&same, &allocated), &same));
        let wanted = pod("2");
        assert!(!is_same(&wanted, &allocated));
        assert_eq!(apply(&wanted, &allocated).spec, pod("1").spec);
    }

    #[test]
    fn events_say_what_is_asked_for() {
        assert_eq!(
            event("Pod resize started", &pod("1"), 2, "why"),
            r#"Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}],"generation":2,"error":"why"}"#
        );
    }
}
