//! Resource amounts of containers for environment variables and downward API files.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::arith::Quantity;

use crate::context::Capacity;

/// The value of `selector`, rounded up to whole divisors.
///
/// `own` is the container that asks; it is meant where the selector names none. A limit that a container does not set
/// is the pod's, or else what the node has to give.
///
/// # Errors
/// Upstream's words for a container or resource that there is not.
pub(crate) fn value(
    selector: &core::ResourceFieldSelector,
    pod: &core::Pod,
    own: Option<&core::Container>,
    node: &Capacity,
) -> Result<String, String> {
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own.ok_or_else(|| "container  not found".to_owned())?,
        Some(name) => find(pod, name).ok_or_else(|| format!("container {name} not found"))?,
    };
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (kind, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let default = match resource {
        "cpu" => Some(Quantity::from_millis(signed(node.allocatable_cpu_millis))),
        "memory" => Some(Quantity::from_bytes(signed(node.allocatable_memory))),
        "ephemeral-storage" => Some(Quantity::from_bytes(signed(node.allocatable_ephemeral_storage))),
        _ if resource.starts_with("hugepages-") => None,
        _ => return Err(unsupported()),
    };
    let own = container.resources.as_ref();
    let amount = match kind {
        "requests" => own.and_then(|own| parse(own.requests.as_ref()?.get(resource)?)),
        "limits" => own
            .and_then(|own| parse(own.limits.as_ref()?.get(resource)?))
            .filter(|limit| !limit.is_zero())
            .or_else(|| default.map(|default| pod_limit(pod, resource).unwrap_or(default))),
        _ => return Err(unsupported()),
    };
    let amount = amount.unwrap_or_default();
    let divisor = selector
        .divisor
        .as_ref()
        .and_then(parse)
        .filter(|divisor| !divisor.is_zero())
        .unwrap_or(ONE);
    let (amount, divisor) = if resource == "cpu" {
        (amount.milli_value(), divisor.milli_value())
    } else {
        (amount.value(), divisor.value())
    };
    // As upstream, in floating point: whole numbers of this size divide exactly enough.
    Ok(((amount as f64 / divisor as f64).ceil() as i64).to_string())
}

const ONE: Quantity = Quantity::from_millis(1000);

fn find<'a>(pod: &'a core::Pod, name: &str) -> Option<&'a core::Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|container| container.name == name)
}

fn pod_limit(pod: &core::Pod, resource: &str) -> Option<Quantity> {
    let limits = pod.spec.as_ref()?.resources.as_ref()?.limits.as_ref()?;
    limits
        .get(resource)
        .and_then(parse)
        .filter(|limit| !limit.is_zero())
}

fn parse(quantity: &ApiQuantity) -> Option<Quantity> {
    quantity.0.parse().ok()
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> core::Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [
                    {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"},
                                                "requests": {"cpu": "250m", "memory": "32Mi"}}},
                    {"name": "b"},
                ],
                "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}],
            },
        }))
        .unwrap()
    }

    fn of(container: &str, resource: &str, divisor: &str) -> Result<String, String> {
        let node = Capacity {
            allocatable_cpu_millis: 3900,
            allocatable_memory: 8 << 30,
            allocatable_ephemeral_storage: 1 << 30,
            ..Capacity::default()
        };
        let selector = core::ResourceFieldSelector {
            container_name: Some(container.to_owned()),
            resource: resource.to_owned(),
            divisor: (!divisor.is_empty()).then(|| ApiQuantity(divisor.to_owned())),
        };
        let pod = pod();
        let own = pod.spec.as_ref().unwrap().containers.first();
        value(&selector, &pod, own, &node)
    }

    #[test]
    fn amounts_are_rounded_up_to_the_divisor() {
        for (container, resource, divisor, want) in [
            ("a", "limits.cpu", "", "2"),
            ("a", "limits.cpu", "1m", "1500"),
            ("a", "requests.cpu", "0", "1"),
            ("a", "limits.memory", "1Mi", "64"),
            ("a", "requests.memory", "", "33554432"),
            ("a", "limits.hugepages-2Mi", "1Mi", "4"),
            ("a", "requests.ephemeral-storage", "", "0"),
            ("b", "limits.cpu", "1m", "3900"),
            ("b", "limits.cpu", "1", "4"),
            ("b", "limits.memory", "1Gi", "8"),
            ("b", "limits.ephemeral-storage", "1Mi", "1024"),
            ("b", "requests.cpu", "", "0"),
            ("i", "requests.cpu", "1m", "1000"),
            ("", "limits.cpu", "1m", "1500"),
        ] {
            assert_eq!(
                of(container, resource, divisor).as_deref(),
                Ok(want),
                "{container} {resource} / {divisor}"
            );
        }
    }

    #[test]
    fn a_pods_own_limit_comes_before_the_nodes() {
        let mut pod = pod();
        pod.spec.as_mut().unwrap().resources =
            serde_json::from_value(serde_json::json!({"limits": {"cpu": "2"}})).unwrap();
        let selector = core::ResourceFieldSelector {
            container_name: Some("b".to_owned()),
            resource: "limits.cpu".to_owned(),
            divisor: None,
        };
        assert_eq!(
            value(&selector, &pod, None, &Capacity::default()).as_deref(),
            Ok("2")
        );
    }

    #[test]
    fn what_there_is_not_is_named() {
        assert_eq!(of("c", "limits.cpu", ""), Err("container c not found".to_owned()));
        assert_eq!(
            of("a", "limits.gpu", ""),
            Err("unsupported container resource : limits.gpu".to_owned())
        );
        assert_eq!(
            of("a", "cpu", ""),
            Err("unsupported container resource : cpu".to_owned())
        );
    }
}
