//! Whether this node can take a pod: pure. What the scheduler checked may have changed, and static pods pass nobody else.

use k8s_openapi::api::core::v1 as core;
use machinery::arith::quantity::Quantity;

use super::resources::{self, Amounts};
use super::spec::PodExt as _;
use crate::status::Verdict;

/// What is left of the node for one more pod.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Allocatable amounts by resource name.
    pub allocatable: Amounts,
    /// What admitted pods ask for.
    pub used: Amounts,
    /// How many they are, and how many there may be.
    pub pods: (u64, u64),
    /// The node's ports that they hold.
    pub ports: Vec<Port>,
}

/// A port of the node that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    number: i32,
    protocol: String,
    /// `None` for every address.
    address: Option<String>,
}

impl Port {
    fn clashes(&self, other: &Self) -> bool {
        let everywhere = self.address.is_none() || other.address.is_none();
        self.number == other.number
            && self.protocol == other.protocol
            && (everywhere || self.address == other.address)
    }
}

/// Those of containers, and of init containers that keep running.
fn ports(pod: &core::Pod) -> impl Iterator<Item = Port> {
    let spec = pod.spec();
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    sidecars
        .chain(&spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let address = port.host_ip.as_deref().unwrap_or_default();
            Some(Port {
                number: port.host_port.filter(|number| *number > 0)?,
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_owned(),
                address: (!matches!(address, "" | "0.0.0.0")).then(|| address.to_owned()),
            })
        })
}

impl Room {
    /// With one more pod in it.
    pub fn add(&mut self, pod: &core::Pod) {
        self.pods.0 += 1;
        self.ports.extend(ports(pod));
        for (name, amount) in resources::pod_requests(pod) {
            *self.used.entry(name).or_default() += amount;
        }
    }
}

/// `None` when the pod may run here, else what its status will say.
#[must_use]
pub fn admit(pod: &core::Pod, node: Option<&core::Node>, room: &Room) -> Option<Verdict> {
    fits(pod, room)
        .or_else(|| node.and_then(|node| wanted(pod, node)))
        .or_else(|| free(pod, room))
        .or_else(|| node.and_then(|node| tolerated(pod, node)))
}

/// The ports that it asks the node for are nobody else's.
fn free(pod: &core::Pod, room: &Room) -> Option<Verdict> {
    let taken = ports(pod).any(|port| room.ports.iter().any(|held| held.clashes(&port)));
    taken.then(|| {
        refused(
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )
    })
}

fn refused(reason: &str, why: &str) -> Verdict {
    Verdict {
        reason: reason.into(),
        message: format!("Pod was rejected: {why}"),
    }
}

fn fits(pod: &core::Pod, room: &Room) -> Option<Verdict> {
    let out_of = |name: &str, asked: i64, used: i64, capacity: i64| Verdict {
        reason: format!("OutOf{name}"),
        message: format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
        ),
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    if room.pods.0 >= room.pods.1 {
        return Some(out_of("pods", 1, number(room.pods.0), number(room.pods.1)));
    }
    for (name, asked) in resources::pod_requests(pod) {
        if asked.is_zero() {
            continue;
        }
        // An extended resource that the node does not have (yet) is the device plugin's business.
        let Some(capacity) = room.allocatable.get(&name) else {
            continue;
        };
        let used = room.used.get(&name).copied().unwrap_or_default();
        if used + asked > *capacity {
            let unit = |q: &Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
            return Some(out_of(&name, unit(&asked), unit(&used), unit(capacity)));
        }
    }
    None
}

/// The node is one of those that selector and affinity ask for.
fn wanted(pod: &core::Pod, node: &core::Node) -> Option<Verdict> {
    let spec = pod.spec();
    let label = |key: &str| {
        node.metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(key))
            .map(String::as_str)
    };
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(k, v)| label(k) == Some(v));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let affine = required.is_none_or(|selector| {
        let selector = serde_json::to_value(selector)
            .and_then(serde_json::from_value::<machinery::arith::node_affinity::NodeSelector>);
        selector.is_ok_and(|s| {
            machinery::arith::node_affinity::terms(&s)
                .iter()
                .any(|t| t.matches(name, label))
        })
    });
    (!selected || !affine).then(|| {
        refused(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    })
}

/// The node has no taint that would evict the pod at once. Static pods run whatever the taints.
fn tolerated(pod: &core::Pod, node: &core::Node) -> Option<Verdict> {
    if pod.is_static() {
        return None;
    }
    let taints = node
        .spec
        .as_ref()
        .and_then(|s| s.taints.as_deref())
        .unwrap_or_default();
    let tolerated = |taint: &core::Taint| {
        pod.spec().tolerations.iter().flatten().any(|t| {
            let effect = t.effect.as_deref().unwrap_or_default();
            let key = t.key.as_deref().unwrap_or_default();
            (effect.is_empty() || effect == taint.effect)
                && (key.is_empty() || key == taint.key)
                && (t.operator.as_deref() == Some("Exists")
                    || t.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
        })
    };
    let evicted = taints.iter().any(|t| t.effect == "NoExecute" && !tolerated(t));
    evicted.then(|| {
        refused(
            "TaintToleration",
            "Predicate TaintToleration failed: node(s) had untolerated taint(s)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

    fn pod(cpu: &str) -> core::Pod {
        let requests = [("cpu".to_owned(), Text(cpu.to_owned()))].into();
        core::Pod {
            spec: Some(core::PodSpec {
                containers: vec![core::Container {
                    resources: Some(core::ResourceRequirements {
                        requests: Some(requests),
                        ..Default::default()
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_node_that_is_full_says_of_what() {
        let mut room = Room {
            allocatable: [("cpu".to_owned(), Quantity::from_millis(1000))].into(),
            pods: (0, 2),
            ..Room::default()
        };
        assert_eq!(admit(&pod("800m"), None, &room), None);
        room.add(&pod("800m"));
        let verdict = admit(&pod("300m"), None, &room).unwrap();
        assert_eq!(verdict.reason, "OutOfcpu");
        assert!(
            verdict
                .message
                .ends_with("cpu, requested: 300, used: 800, capacity: 1000")
        );
        room.add(&pod("0"));
        assert_eq!(admit(&pod("0"), None, &room).unwrap().reason, "OutOfpods");
    }

    #[test]
    fn a_port_of_the_node_is_given_once() {
        // port, protocol, address of the first; the same of the second; whether they clash
        for (held, asked, clash) in [
            ((80, "TCP", ""), (80, "TCP", ""), true),
            ((80, "TCP", "0.0.0.0"), (80, "TCP", "10.0.0.1"), true),
            ((80, "TCP", "10.0.0.1"), (80, "TCP", ""), true),
            ((80, "TCP", "10.0.0.1"), (80, "TCP", "10.0.0.2"), false),
            ((80, "TCP", ""), (80, "UDP", ""), false),
            ((80, "TCP", ""), (81, "TCP", ""), false),
            ((0, "TCP", ""), (0, "TCP", ""), false),
        ] {
            let with = |(number, protocol, address): (i32, &str, &str)| {
                let mut pod = pod("0");
                pod.spec.as_mut().unwrap().containers[0].ports = Some(vec![core::ContainerPort {
                    host_port: Some(number),
                    protocol: Some(protocol.into()),
                    host_ip: Some(address.into()),
                    ..Default::default()
                }]);
                pod
            };
            let mut room = Room {
                pods: (0, 9),
                ..Room::default()
            };
            room.add(&with(held));
            let verdict = admit(&with(asked), None, &room);
            let reason = verdict.as_ref().map(|verdict| verdict.reason.as_str());
            assert_eq!(reason, clash.then_some("NodePorts"), "{held:?} {asked:?}");
        }
    }

    #[test]
    fn selectors_and_taints_are_looked_at() {
        let mut node = core::Node::default();
        node.metadata.labels = Some([("disk".to_owned(), "ssd".to_owned())].into());
        let room = Room {
            pods: (0, 9),
            ..Room::default()
        };
        let mut pod = pod("0");
        pod.spec.as_mut().unwrap().node_selector = Some([("disk".to_owned(), "ssd".to_owned())].into());
        assert_eq!(admit(&pod, Some(&node), &room), None);
        node.spec = Some(core::NodeSpec {
            taints: Some(vec![core::Taint {
                key: "x".into(),
                effect: "NoExecute".into(),
                ..Default::default()
            }]),
            ..Default::default()
        });
        assert_eq!(admit(&pod, Some(&node), &room).unwrap().reason, "TaintToleration");
        node.metadata.labels = None;
        assert_eq!(admit(&pod, Some(&node), &room).unwrap().reason, "NodeAffinity");
    }
}
