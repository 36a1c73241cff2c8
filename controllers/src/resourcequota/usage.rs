//! What one object costs.

use super::claim::Claim;
use super::demand::demand;
use super::measure::{BY_STORAGE_CLASS, Kind};
use crate::api::{Amounts, Pod, Service};
use jiff::{SignedDuration, Timestamp};
use machinery::arith::Quantity;
use machinery::arith::quantity::Format;
use machinery::meta::Istr;

fn number(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi)
}

/// Objects of which nothing but their being there counts.
pub fn of_many(kind: &Kind, count: usize) -> Amounts {
    let mut amounts = Amounts::from([(kind.count_name(), number(count))]);
    if kind.group.is_empty() {
        amounts.insert(kind.plural.clone(), number(count));
    }
    amounts
}

/// Whether the pod may still run. One that is stuck in deletion is not held against its namespace.
pub fn is_alive(pod: &Pod, now: Timestamp) -> bool {
    let overdue = || {
        let (Some(time), Some(grace)) = (
            pod.metadata.deletion_timestamp,
            pod.metadata.deletion_grace_period_seconds,
        ) else {
            return false;
        };
        now > time.0 + SignedDuration::from_secs(grace)
    };
    !pod.status.phase.is_terminal() && !overdue()
}

/// Every pod counts as an object; what it asks for counts while it may run.
pub fn of_pod(pod: &Pod, now: Timestamp) -> Amounts {
    let mut amounts = Amounts::from([("count/pods".into(), number(1))]);
    if !is_alive(pod, now) {
        return amounts;
    }
    amounts.insert("pods".into(), number(1));
    let demand = demand(pod);
    for (name, amount) in demand.requests {
        let requested: Istr = format!("requests.{name}").into();
        if matches!(&*name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            amounts.insert(requested, amount);
            amounts.insert(name, amount);
        } else {
            amounts.insert(requested, amount);
        }
    }
    for (name, amount) in demand.limits {
        if matches!(&*name, "cpu" | "memory" | "ephemeral-storage") {
            amounts.insert(format!("limits.{name}").into(), amount);
        }
    }
    amounts
}

pub fn of_service(service: &Service) -> Amounts {
    let spec = &service.spec;
    let balanced = spec.kind == "LoadBalancer";
    // Ports on nodes may not be given yet: what was asked for counts.
    let node_ports = if balanced && spec.allocate_load_balancer_node_ports == Some(false) {
        spec.ports.iter().filter(|port| port.node_port != 0).count()
    } else if balanced || spec.kind == "NodePort" {
        spec.ports.len()
    } else {
        0
    };
    Amounts::from([
        ("count/services".into(), number(1)),
        ("services".into(), number(1)),
        ("services.nodeports".into(), number(node_ports)),
        ("services.loadbalancers".into(), number(usize::from(balanced))),
    ])
}

pub fn of_claim(claim: &Claim) -> Amounts {
    let mut amounts = Amounts::from([("count/persistentvolumeclaims".into(), number(1))]);
    let mut charge = |name: &str, amount: Quantity| {
        amounts.insert(name.into(), amount);
        if let Some(class) = claim.class() {
            amounts.insert(format!("{class}{BY_STORAGE_CLASS}{name}").into(), amount);
        }
    };
    charge("persistentvolumeclaims", number(1));
    if let Some(storage) = claim.storage() {
        charge("requests.storage", storage);
    }
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, service};
    use serde_json::json;

    fn amounts(json: serde_json::Value) -> Amounts {
        serde_json::from_value(json).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_pod_costs_what_it_asks_for_while_it_may_run() {
        let containers = json!([{ "resources": { "requests": { "cpu": "100m", "x.y/z": "2", "hugepages-2Mi": "2Mi" },
            "limits": { "cpu": "1", "ephemeral-storage": "1Gi", "x.y/z": "2" } } }]);
        let builder = || pod("p").with("/spec/containers", containers.clone());
        assert_eq!(
            of_pod(&builder().build(), at(0)),
            amounts(
                json!({ "count/pods": 1, "pods": 1, "cpu": "100m", "requests.cpu": "100m", "limits.cpu": 1, "requests.x.y/z": 2,
                "hugepages-2Mi": "2Mi", "requests.hugepages-2Mi": "2Mi", "limits.ephemeral-storage": "1Gi" })
            )
        );
        let ended = amounts(json!({ "count/pods": 1 }));
        assert_eq!(of_pod(&builder().phase("Failed").build(), at(0)), ended);
        let leaving = builder()
            .with("/metadata/deletionTimestamp", at(100).to_string())
            .with("/metadata/deletionGracePeriodSeconds", 30)
            .build();
        assert!(is_alive(&leaving, at(130)) && !is_alive(&leaving, at(131)));
    }

    #[test]
    fn services_cost_ports_and_balancers() {
        let cost = |change: serde_json::Value| {
            let service = service("s", |spec| {
                for (key, value) in change.as_object().unwrap() {
                    spec[key] = value.clone();
                }
            });
            let amounts = of_service(&service);
            let value = |name: &str| amounts[name].value();
            (
                value("services"),
                value("services.nodeports"),
                value("services.loadbalancers"),
            )
        };
        assert_eq!(cost(json!({ "type": "ClusterIP" })), (1, 0, 0));
        assert_eq!(cost(json!({ "type": "NodePort" })), (1, 1, 0));
        assert_eq!(cost(json!({ "type": "LoadBalancer" })), (1, 1, 1));
        let without = json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false });
        assert_eq!(cost(without), (1, 0, 1));
    }

    #[test]
    fn claims_cost_storage_also_of_their_class() {
        let claim = |spec: serde_json::Value, status: serde_json::Value| -> Claim {
            let mut object = json!({});
            object["spec"] = spec;
            object["status"] = status;
            serde_json::from_str(&object.to_string()).unwrap()
        };
        let gold = claim(
            json!({ "storageClassName": "gold", "resources": { "requests": { "storage": "1Gi" } } }),
            json!({ "allocatedResources": { "storage": "2Gi" } }),
        );
        assert_eq!(
            of_claim(&gold),
            amounts(
                json!({ "count/persistentvolumeclaims": 1, "persistentvolumeclaims": 1, "requests.storage": "2Gi",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims": 1, "gold.storageclass.storage.k8s.io/requests.storage": "2Gi" })
            )
        );
        let plain = claim(
            json!({ "resources": { "requests": { "storage": "1500m" } } }),
            json!({}),
        );
        assert_eq!(of_claim(&plain)["requests.storage"].to_string(), "2");
    }

    #[test]
    fn other_objects_cost_one_each() {
        assert_eq!(
            of_many(&Kind::new("", "secrets"), 3),
            amounts(json!({ "count/secrets": 3, "secrets": 3 }))
        );
        assert_eq!(
            of_many(&Kind::new("apps", "deployments"), 0),
            amounts(json!({ "count/deployments.apps": 0 }))
        );
    }
}
