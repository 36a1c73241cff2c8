//! What to write about a Service.

use super::subsets::{packed, subsets, truncate};
use crate::api::{Endpoints, Pod, Service};
use crate::endpointslice::plan::HEADLESS;
use crate::endpointslice::trigger::LAST_CHANGE;
use machinery::meta::{Labels, ObjectMeta};
use std::sync::Arc;

/// Says who keeps the object.
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// What we, and upstream, put there.
pub const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The write that brings a Service's Endpoints up to date.
#[derive(Debug, PartialEq, Eq)]
pub enum Write {
    Nothing,
    Create(Endpoints),
    Update(Endpoints),
}

/// Whether the Service wants Endpoints from us.
pub fn is_ours(service: &Service) -> bool {
    service.spec.kind != "ExternalName" && service.spec.selector.is_some()
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone();
    if service.is_headless() || service.spec.cluster_ip.is_empty() {
        labels.insert(HEADLESS, "");
    } else {
        labels.remove(HEADLESS);
    }
    labels.insert(MANAGED_BY, MANAGER);
    labels
}

/// Works out the write. `pods` are those that the Service selects, `trigger` when the change came about.
pub fn plan(service: &Service, pods: &[Arc<Pod>], held: Option<&Endpoints>, trigger: Option<&str>) -> Write {
    let mut subsets = subsets(service, pods);
    let truncated = truncate(&mut subsets);
    let labels = labels(service);
    let is_current = |held: &Endpoints| {
        held.metadata.labels == labels
            && held.metadata.annotations.contains_key(OVER_CAPACITY) == truncated
            && (held.subsets == subsets || packed(&held.subsets) == packed(&subsets))
    };
    if held.is_some_and(is_current) {
        return Write::Nothing;
    }
    let fresh = || ObjectMeta {
        name: service.metadata.name.clone(),
        namespace: service.metadata.namespace.clone(),
        ..ObjectMeta::default()
    };
    let mut metadata = held.map_or_else(fresh, |held| held.metadata.clone());
    metadata.labels = labels;
    for (key, value) in [
        (LAST_CHANGE, trigger),
        (OVER_CAPACITY, truncated.then_some("truncated")),
    ] {
        match value {
            Some(value) => metadata.annotations.insert(key, value),
            None => metadata.annotations.remove(key),
        };
    }
    let wanted = Endpoints { metadata, subsets };
    if held.is_some() {
        Write::Update(wanted)
    } else {
        Write::Create(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, service};
    use serde_json::json;

    fn ready() -> Vec<Arc<Pod>> {
        vec![
            pod("a")
                .node("n")
                .phase("Running")
                .ready_at(5)
                .with("/status/podIPs", json!([{ "ip": "10.0.0.1" }]))
                .arc(),
        ]
    }

    #[test]
    fn writes_are_as_few_as_can_be() {
        let web = service("web", |_| {});
        let Write::Create(mut held) = plan(&web, &ready(), None, Some("t1")) else {
            panic!()
        };
        let pairs: Vec<_> = held
            .metadata
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(pairs, ["endpoints.kubernetes.io/managed-by=endpoint-controller"]);
        assert_eq!(held.metadata.annotations.get(LAST_CHANGE), Some("t1"));
        held.metadata.resource_version = "7".into();
        held.metadata.annotations.insert("mine", "kept");
        assert_eq!(plan(&web, &ready(), Some(&held), Some("t2")), Write::Nothing);
        let Write::Update(empty) = plan(&web, &[], Some(&held), None) else {
            panic!()
        };
        assert!(empty.subsets.is_empty() && &*empty.metadata.resource_version == "7");
        assert_eq!(
            (
                empty.metadata.annotations.get(LAST_CHANGE),
                empty.metadata.annotations.get("mine")
            ),
            (None, Some("kept"))
        );
    }

    #[test]
    fn labels_are_the_services_and_ours() {
        let mut web = service("web", |spec| spec["clusterIP"] = "None".into());
        web.metadata.labels.insert("app", "web");
        let Write::Create(headless) = plan(&web, &ready(), None, None) else {
            panic!()
        };
        assert_eq!(headless.metadata.labels.get(HEADLESS), Some(""));
        let mut stray = headless.clone();
        stray.metadata.labels.insert("stray", "x");
        assert!(matches!(
            plan(&web, &ready(), Some(&stray), None),
            Write::Update(_)
        ));
        let mut unmanaged = headless;
        unmanaged.metadata.labels.remove(MANAGED_BY);
        let Write::Update(managed) = plan(&web, &ready(), Some(&unmanaged), None) else {
            panic!()
        };
        assert_eq!(managed.metadata.labels.get("app"), Some("web"));
    }

    #[test]
    fn what_was_cut_is_said() {
        let web = service("web", |_| {});
        let many = |count: usize| -> Vec<Arc<Pod>> {
            let one = |n: usize| {
                let ip = json!([{ "ip": format!("10.0.{}.{}", n / 250, n % 250) }]);
                pod(&format!("p{n}"))
                    .phase("Running")
                    .ready_at(5)
                    .with("/status/podIPs", ip)
                    .arc()
            };
            (0..count).map(one).collect()
        };
        let Write::Create(cut) = plan(&web, &many(1001), None, None) else {
            panic!()
        };
        assert_eq!(
            (
                cut.subsets[0].addresses.len(),
                cut.metadata.annotations.get(OVER_CAPACITY)
            ),
            (1000, Some("truncated"))
        );
        assert_eq!(plan(&web, &many(1001), Some(&cut), None), Write::Nothing);
        let Write::Update(whole) = plan(&web, &many(1000), Some(&cut), None) else {
            panic!()
        };
        assert_eq!(whole.metadata.annotations.get(OVER_CAPACITY), None);
    }

    #[test]
    fn some_services_have_endpoints_of_others() {
        assert!(is_ours(&service("web", |_| {})));
        assert!(!is_ours(
            &service("web", |spec| spec["type"] = "ExternalName".into())
        ));
        assert!(!is_ours(
            &service("web", |spec| spec["selector"] = serde_json::Value::Null)
        ));
    }
}
