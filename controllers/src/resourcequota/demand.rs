//! What the containers of a pod ask for, all together.

use crate::api::{Amounts, Pod};
use machinery::meta::{Istr, null_default};
use serde::Deserialize;

/// A core/v1 `ResourceRequirements`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "null_default")]
    requests: Amounts,
    #[serde(deserialize_with = "null_default")]
    limits: Amounts,
}

impl Resources {
    fn read(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }
}

/// Requests and limits of a whole pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Demand {
    pub requests: Amounts,
    pub limits: Amounts,
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *to.entry(name.clone()).or_default() += *amount;
    }
}

fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let held = to.entry(name.clone()).or_insert(*amount);
        *held = (*held).max(*amount);
    }
}

/// Containers run together, sidecars beside them; init containers run before, one by one, beside the sidecars that have started.
fn together(pod: &Pod, part: impl Fn(Resources) -> Amounts) -> Amounts {
    let (mut all, mut sidecars, mut before) = (Amounts::new(), Amounts::new(), Amounts::new());
    for resources in pod.spec.container_resources() {
        add(&mut all, &part(Resources::read(resources)));
    }
    for (resources, is_sidecar) in pod.spec.init_container_resources() {
        let mut own = part(Resources::read(resources));
        if is_sidecar {
            add(&mut all, &own);
            add(&mut sidecars, &own);
            raise(&mut before, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut before, &own);
        }
    }
    raise(&mut all, &before);
    all
}

/// What is asked for on the level of the pod counts in place of the containers'.
fn set(to: &mut Amounts, whole: &Amounts) {
    let known = |name: &Istr| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    for (name, amount) in whole.iter().filter(|(name, _)| known(name)) {
        to.insert(name.clone(), *amount);
    }
}

/// What the pod asks for, the overhead of its runtime included.
pub fn demand(pod: &Pod) -> Demand {
    let mut demand = Demand {
        requests: together(pod, |resources| resources.requests),
        limits: together(pod, |resources| resources.limits),
    };
    let whole = Resources::read(&pod.spec.resources);
    set(&mut demand.requests, &whole.requests);
    set(&mut demand.limits, &whole.limits);
    let overhead: Amounts = serde_json::from_str(&pod.spec.overhead).unwrap_or_default();
    add(&mut demand.requests, &overhead);
    for (name, amount) in &overhead {
        if let Some(limit) = demand.limits.get_mut(name) {
            *limit += *amount;
        }
    }
    demand
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn amounts(json: Value) -> Amounts {
        serde_json::from_value(json).unwrap()
    }

    fn asks(cpu: &str) -> Value {
        json!({ "requests": { "cpu": cpu } })
    }

    #[test]
    fn containers_add_up_and_init_containers_overlap() {
        let plain = pod("p").with(
            "/spec/containers",
            json!([{ "resources": { "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "cpu": "2" } } },
                   { "resources": asks("500m") }, {}, { "resources": null }]),
        );
        let found = demand(&plain.build());
        assert_eq!(
            found.requests,
            amounts(json!({ "cpu": "1500m", "memory": "1Gi" }))
        );
        assert_eq!(found.limits, amounts(json!({ "cpu": 2 })));
        let staged = pod("p")
            .with("/spec/containers", json!([{ "resources": asks("1") }]))
            .with("/spec/initContainers", json!([{ "resources": asks("3") }, { "resources": asks("1"), "restartPolicy": "Always" }, { "resources": asks("4") }]));
        assert_eq!(demand(&staged.build()).requests, amounts(json!({ "cpu": "5" })));
        let quick = pod("p")
            .with("/spec/containers", json!([{ "resources": asks("3") }]))
            .with(
                "/spec/initContainers",
                json!([{ "resources": asks("1"), "restartPolicy": "Always" }, { "resources": asks("2") }]),
            );
        assert_eq!(demand(&quick.build()).requests, amounts(json!({ "cpu": "4" })));
    }

    #[test]
    fn the_pod_has_the_last_word_and_its_runtime_costs_too() {
        let whole = pod("p")
            .with("/spec/containers", json!([{ "resources": { "requests": { "cpu": "1", "x.y/z": "2" }, "limits": { "memory": "1Gi" } } }]))
            .with("/spec/resources", json!({ "requests": { "cpu": "4", "x.y/z": "9" } }))
            .with("/spec/overhead", json!({ "cpu": "250m", "memory": "1Gi" }));
        let found = demand(&whole.build());
        assert_eq!(
            found.requests,
            amounts(json!({ "cpu": "4250m", "x.y/z": 2, "memory": "1Gi" }))
        );
        assert_eq!(found.limits, amounts(json!({ "memory": "2Gi" })));
    }
}
