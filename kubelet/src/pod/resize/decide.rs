//! Whether a pod gets the resources that its spec asks for: pure.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1 as core;

use super::{Pending, PodResources};
use crate::pod::admit::{self, Room};
use crate::pod::resources::{self, Qos};
use crate::pod::spec::PodExt as _;

/// What of the kubelet's configuration stands against resizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// `cpuManagerPolicy: static`: a Guaranteed pod's cpus may be its own.
    pub static_cpus: bool,
    /// `memoryManagerPolicy: Static`.
    pub static_memory: bool,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is asked for that is not allocated.
    Same,
    /// It is allocated from now on.
    Allocate,
    /// Not now, or never.
    Pend(Pending),
}

/// Decides about `wanted`, the pod as its spec is. `room` is the node without it.
#[must_use]
pub fn decide(
    wanted: &core::Pod,
    allocated: &PodResources,
    node: Option<&core::Node>,
    room: &Room,
    policy: Policy,
) -> Decision {
    if super::is_same(wanted, allocated) {
        return Decision::Same;
    }
    let generation = wanted.metadata.generation.unwrap_or_default();
    let pend = |reason, message| {
        Decision::Pend(Pending {
            reason,
            message,
            generation,
        })
    };
    if Qos::of(wanted) == Qos::Guaranteed {
        for (applies, manager, name, resource) in [
            (policy.static_cpus, "CPU", "static", "cpu"),
            (policy.static_memory, "Memory", "Static", "memory"),
        ] {
            if applies && requests_differ(wanted, allocated, resource) {
                let message = format!(
                    "Resize is infeasible for Guaranteed Pods alongside {manager} Manager policy {name:?}"
                );
                return pend("Infeasible", message);
            }
        }
    }
    match admit::admit(wanted, node, room) {
        None => Decision::Allocate,
        Some(verdict) => {
            let message = verdict.message;
            let plain = message.strip_prefix("Pod was rejected: ");
            pend("Deferred", plain.unwrap_or(&message).to_owned())
        }
    }
}

fn requests_differ(pod: &core::Pod, allocated: &PodResources, resource: &str) -> bool {
    let request = |r: Option<&core::ResourceRequirements>| {
        resources::of(r.and_then(|r| r.requests.as_ref()), resource).unwrap_or_default()
    };
    pod.init().iter().chain(pod.app()).any(|c| {
        let known = allocated.container_resources.get(&c.name);
        request(c.resources.as_ref()) != request(known)
    })
}

/// The order in which resizes that wait are looked at: those that ask for no more first, then by priority and class of
/// service, then the one that waits longest (`since`, any clock).
#[must_use]
pub fn order(wanted: &core::Pod, allocated: &core::Pod, since: i64) -> (bool, Reverse<i32>, bool, i64) {
    let (new, old) = (
        resources::pod_requests(wanted),
        resources::pod_requests(allocated),
    );
    let grows = ["cpu", "memory"].iter().any(|name| {
        new.get(*name).copied().unwrap_or_default() > old.get(*name).copied().unwrap_or_default()
    });
    (
        grows,
        Reverse(wanted.spec().priority.unwrap_or_default()),
        Qos::of(wanted) != Qos::Guaranteed,
        since,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::arith::quantity::Quantity;
    use serde_json::json;

    fn pod(cpu: &str, limit: Option<&str>) -> core::Pod {
        let limits = limit.map(|cpu| json!({"cpu": cpu, "memory": "1Gi"}));
        serde_json::from_value(json!({
            "metadata": {"uid": "u", "generation": 7},
            "spec": {"containers": [{"name": "c", "resources":
                {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": limits}}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_fits_is_allocated_and_what_does_not_waits() {
        let mut room = Room {
            allocatable: [
                ("cpu".to_owned(), Quantity::from_millis(4000)),
                ("memory".to_owned(), Quantity::from_bytes(8 << 30)),
            ]
            .into(),
            pods: (0, 10),
            ..Room::default()
        };
        room.add(&pod("1", None));
        let static_cpus = Policy {
            static_cpus: true,
            ..Policy::default()
        };
        let allocated = super::super::of_spec(&pod("1", None));
        let pend = |reason, message: &str| {
            Decision::Pend(Pending {
                reason,
                message: message.to_owned(),
                generation: 7,
            })
        };
        for (wanted, policy, want) in [
            (pod("1000m", None), Policy::default(), Decision::Same),
            (pod("500m", None), Policy::default(), Decision::Allocate),
            (pod("3", None), static_cpus, Decision::Allocate),
            (
                pod("3500m", None),
                Policy::default(),
                pend(
                    "Deferred",
                    "Node didn't have enough resource: cpu, requested: 3500, used: 1000, capacity: 4000",
                ),
            ),
            (
                pod("2", Some("2")),
                static_cpus,
                pend(
                    "Infeasible",
                    "Resize is infeasible for Guaranteed Pods alongside CPU Manager policy \"static\"",
                ),
            ),
        ] {
            let got = decide(&wanted, &allocated, None, &room, policy);
            assert_eq!(got, want, "{:?}", wanted.spec().containers);
        }
    }

    #[test]
    fn shrinking_comes_first_then_priority_then_time() {
        let (small, large) = (pod("1", None), pod("2", None));
        let mut important = large.clone();
        important.spec.as_mut().unwrap().priority = Some(5);
        let mut waiting = [
            (order(&large, &small, 1), "early"),
            (order(&large, &small, 2), "late"),
            (order(&important, &small, 3), "important"),
            (order(&small, &large, 4), "shrinking"),
        ];
        waiting.sort();
        assert_eq!(
            waiting.map(|(_, name)| name),
            ["shrinking", "important", "early", "late"]
        );
    }
}
