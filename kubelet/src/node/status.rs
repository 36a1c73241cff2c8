//! The node's status as it should be now: facts in, the Node's status and the events that go with it out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeStatus, NodeSwapStatus,
};
use k8s_openapi::jiff::Timestamp;

use super::capacity::{Amounts, allocatable, quantities};
use super::conditions::{self, NodeEvent, Pressure};
use super::machine::MachineInfo;
use super::object::architecture;
use super::{Reservation, images::Image};

/// Everything that is known about the node at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub hostname: String,
    /// Empty while no address could be found: then the addresses stay as they are.
    pub addresses: Vec<IpAddr>,
    pub external_cloud: bool,
    pub machine: MachineInfo,
    pub capacity: Amounts,
    pub reservation: Reservation,
    /// `containerd://2.4.2`
    pub runtime_version: String,
    pub kubelet_version: String,
    pub port: u16,
    /// Largest first, already cut to `nodeStatusMaxImages`.
    pub images: Vec<Image>,
    pub handlers: Vec<NodeRuntimeHandler>,
    pub features: Option<NodeFeatures>,
    /// What pods may ask of this node that not every node can do: see [`declared`].
    pub declared: Vec<String>,
    pub pressure: Pressure,
    pub problems: Vec<String>,
    /// `None` until the volumes of a former run are known: then the list stays as it is.
    pub volumes_in_use: Option<Vec<String>>,
}

/// Features that are declared unless their gate is off, sorted.
const DECLARED: [&str; 2] = [
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
];

/// What we can do that the API server asks about before it lets a pod have it (KEP-5328).
#[must_use]
pub fn declared(gates: &BTreeMap<String, bool>) -> Vec<String> {
    let is_on = |name: &&&str| gates.get(**name).is_none_or(|on| *on);
    DECLARED
        .iter()
        .filter(is_on)
        .map(|name| (*name).to_owned())
        .collect()
}

/// An event to record on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Turned(NodeEvent),
    /// The boot id is not what the API server knew.
    Rebooted {
        boot_id: String,
    },
}

/// Writes what `facts` say into `node`'s status. Extended resources that others put there stay.
pub fn fill(node: &mut Node, facts: &Facts, now: Timestamp) -> Vec<Told> {
    let status = node.status.get_or_insert_default();
    let mut told = Vec::new();

    set_addresses(status, facts);

    let allocatable = allocatable(&facts.capacity, &facts.reservation);
    status
        .capacity
        .get_or_insert_default()
        .extend(quantities(&facts.capacity));
    let known = status.capacity.clone().unwrap_or_default();
    let slot = status.allocatable.get_or_insert_default();
    slot.retain(|name, _| known.contains_key(name));
    slot.extend(known.iter().map(|(name, amount)| (name.clone(), amount.clone())));
    slot.extend(quantities(&allocatable));

    let info = status.node_info.get_or_insert_default();
    if !info.boot_id.is_empty() && info.boot_id != facts.machine.boot_id {
        told.push(Told::Rebooted {
            boot_id: facts.machine.boot_id.clone(),
        });
    }
    info.machine_id.clone_from(&facts.machine.machine_id);
    info.system_uuid.clone_from(&facts.machine.system_uuid);
    info.boot_id.clone_from(&facts.machine.boot_id);
    info.kernel_version.clone_from(&facts.machine.kernel);
    info.os_image.clone_from(&facts.machine.os_image);
    info.container_runtime_version.clone_from(&facts.runtime_version);
    info.kubelet_version.clone_from(&facts.kubelet_version);
    info.kube_proxy_version.clear();
    info.operating_system = "linux".to_owned();
    info.architecture = architecture().to_owned();
    if facts.machine.swap > 0 {
        info.swap = Some(NodeSwapStatus {
            capacity: Some(facts.machine.swap),
        });
    }

    status.daemon_endpoints = Some(NodeDaemonEndpoints {
        kubelet_endpoint: Some(DaemonEndpoint {
            port: i32::from(facts.port),
        }),
    });
    status.images = Some(
        facts
            .images
            .iter()
            .map(|image| ContainerImage {
                names: Some(image.names.clone()),
                size_bytes: Some(image.size),
            })
            .collect(),
    );
    status.runtime_handlers = Some(facts.handlers.clone());
    if facts.features.is_some() {
        status.features.clone_from(&facts.features);
    }
    status.declared_features = (!facts.declared.is_empty()).then(|| facts.declared.clone());
    if facts.volumes_in_use.is_some() {
        status.volumes_in_use.clone_from(&facts.volumes_in_use);
    }

    let mut problems = facts.problems.clone();
    let missing: Vec<&str> = ["cpu", "memory", "pods", "ephemeral-storage"]
        .into_iter()
        .filter(|name| {
            !status
                .capacity
                .as_ref()
                .is_some_and(|capacity| capacity.contains_key(*name))
        })
        .collect();
    if !missing.is_empty() {
        problems.push(format!(
            "missing node capacity for resources: {}",
            missing.join(", ")
        ));
    }
    let conditions = status.conditions.get_or_insert_default();
    told.extend(
        conditions::update(conditions, facts.pressure, &problems, now)
            .into_iter()
            .map(Told::Turned),
    );
    told
}

fn set_addresses(status: &mut NodeStatus, facts: &Facts) {
    // An external cloud provider's addresses win over what we could find.
    let given = status
        .addresses
        .as_ref()
        .is_some_and(|addresses| !addresses.is_empty());
    if (facts.external_cloud && given) || (facts.addresses.is_empty() && !facts.external_cloud) {
        return;
    }
    let address = |kind: &str, address: String| NodeAddress {
        type_: kind.to_owned(),
        address,
    };
    status.addresses = Some(
        facts
            .addresses
            .iter()
            .map(|ip| address("InternalIP", ip.to_string()))
            .chain([address("Hostname", facts.hostname.clone())])
            .collect(),
    );
}

/// True if anything but a heartbeat differs: then the status is sent at once, else only every few minutes.
pub fn differs(old: &Node, new: &Node) -> bool {
    let without_heartbeats = |node: &Node| {
        let mut status = node.status.clone().unwrap_or_default();
        let mut conditions = status.conditions.take().unwrap_or_default();
        for condition in &mut conditions {
            *condition = NodeCondition {
                last_heartbeat_time: None,
                ..std::mem::take(condition)
            };
        }
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        (status, conditions)
    };
    let ((old_status, old_conditions), (new_status, new_conditions)) =
        (without_heartbeats(old), without_heartbeats(new));
    old_conditions != new_conditions
        || super::patch::merge(&old_status, &new_status).is_some()
        || super::patch::merge(&old.metadata.labels, &new.metadata.labels).is_some()
        || super::patch::merge(&old.metadata.annotations, &new.metadata.annotations).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn facts() -> Facts {
        Facts {
            hostname: "n1".into(),
            addresses: vec!["198.18.0.11".parse().unwrap(), "fd00::11".parse().unwrap()],
            machine: MachineInfo {
                boot_id: "b1".into(),
                machine_id: "m1".into(),
                ..MachineInfo::default()
            },
            capacity: [
                ("cpu", 2000),
                ("memory", 1 << 30),
                ("pods", 110),
                ("ephemeral-storage", 1000),
            ]
            .map(|(name, amount)| (name.to_owned(), amount))
            .into(),
            runtime_version: "containerd://2.4.2".into(),
            kubelet_version: "v1.37.1".into(),
            port: 10250,
            ..Facts::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn filled(facts: &Facts) -> Node {
        let mut node = Node::default();
        fill(&mut node, facts, at(1));
        node
    }

    #[test]
    fn features_are_declared_unless_their_gate_is_off() {
        let gates = |on: bool| [("InPlacePodVerticalScalingInitContainers".to_owned(), on)].into();
        for (gates, want) in [
            (BTreeMap::new(), &DECLARED[..]),
            (gates(true), &DECLARED),
            (gates(false), &DECLARED[..1]),
        ] {
            let facts = Facts {
                declared: declared(&gates),
                ..facts()
            };
            let status = filled(&facts).status.unwrap();
            assert_eq!(status.declared_features.unwrap(), want, "{gates:?}");
        }
    }

    #[test]
    fn both_families_come_before_the_hostname() {
        let addresses = filled(&facts()).status.unwrap().addresses.unwrap();
        let shown: Vec<_> = addresses
            .iter()
            .map(|a| (a.type_.as_str(), a.address.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("InternalIP", "198.18.0.11"),
                ("InternalIP", "fd00::11"),
                ("Hostname", "n1")
            ]
        );
    }

    #[test]
    fn addresses_of_a_cloud_provider_are_left_alone() {
        let mut node = filled(&facts());
        let moved = Facts {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            external_cloud: true,
            ..facts()
        };
        fill(&mut node, &moved, at(2));
        assert_eq!(node.status.unwrap().addresses.unwrap()[0].address, "198.18.0.11");
    }

    #[test]
    fn extended_resources_of_others_stay_and_are_allocatable() {
        let mut node = Node::default();
        let status = node.status.get_or_insert_default();
        status.capacity = Some([("vendor/x".to_owned(), Quantity("3".into()))].into());
        status.allocatable = Some([("vendor/gone".to_owned(), Quantity("3".into()))].into());
        fill(&mut node, &facts(), at(1));
        let allocatable = node.status.unwrap().allocatable.unwrap();
        assert_eq!(allocatable["vendor/x"].0, "3");
        assert!(!allocatable.contains_key("vendor/gone"));
    }

    #[test]
    fn a_heartbeat_alone_is_no_difference() {
        let node = filled(&facts());
        let mut later = node.clone();
        fill(&mut later, &facts(), at(20));
        assert!(!differs(&node, &later));
        fill(
            &mut later,
            &Facts {
                problems: vec!["container runtime is down".into()],
                ..facts()
            },
            at(30),
        );
        assert!(differs(&node, &later));
    }

    #[test]
    fn a_new_boot_id_is_told_once_and_not_on_a_new_node() {
        let mut node = Node::default();
        let rebooted = |told: Vec<Told>| told.into_iter().any(|told| matches!(told, Told::Rebooted { .. }));
        assert!(!rebooted(fill(&mut node, &facts(), at(1))));
        let mut after = facts();
        after.machine.boot_id = "b2".into();
        assert!(rebooted(fill(&mut node, &after, at(2))));
        assert!(!rebooted(fill(&mut node, &after, at(3))));
    }

    #[test]
    fn missing_capacity_makes_the_node_not_ready() {
        let mut poor = facts();
        poor.capacity.remove("ephemeral-storage");
        let conditions = filled(&poor).status.unwrap().conditions.unwrap();
        let ready = conditions.last().unwrap();
        assert_eq!(ready.status, "False");
        assert_eq!(
            ready.message.as_deref(),
            Some("missing node capacity for resources: ephemeral-storage")
        );
    }
}
