//! Pods as they come over the wire, and how they are slimmed.

use machinery::arith::node_affinity::NodeSelector;
use machinery::arith::taint::Toleration;
use machinery::meta::{Istr, Labels, ObjectMeta, Time, null_default};
use serde::Deserialize;

use super::pod::{
    Claim, Controller, HostPort, PodAffinities, PodBody, PodScheduled, PreferredNode, SpreadConstraint,
};
use super::requests::{Requests, ResourceList};

/// What a container without a cpu request counts for when nodes are scored: 100m.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// What a container without a memory request counts for when nodes are scored: 200 MB.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Pod {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<Istr>,
    scheduler_name: Istr,
    priority: Option<i32>,
    preemption_policy: Option<Istr>,
    host_network: bool,
    #[serde(deserialize_with = "null_default")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "null_default")]
    init_containers: Vec<Container>,
    overhead: ResourceList,
    resources: Option<Resources>,
    node_selector: Labels,
    affinity: Option<Affinity>,
    #[serde(deserialize_with = "null_default")]
    tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "null_default")]
    topology_spread_constraints: Vec<SpreadConstraint>,
    #[serde(deserialize_with = "null_default")]
    scheduling_gates: Vec<Named>,
    #[serde(deserialize_with = "null_default")]
    volumes: Vec<Volume>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: Istr,
    image: Istr,
    resources: Resources,
    restart_policy: Option<Istr>,
    #[serde(deserialize_with = "null_default")]
    ports: Vec<Port>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "null_default")]
    requests: ResourceList,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    host_port: i32,
    #[serde(rename = "hostIP")]
    host_ip: Istr,
    protocol: Istr,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    #[serde(deserialize_with = "null_default")]
    node_affinity: NodeAffinity,
    #[serde(deserialize_with = "null_default")]
    pod_affinity: PodAffinities,
    #[serde(deserialize_with = "null_default")]
    pod_anti_affinity: PodAffinities,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(
        rename = "preferredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "null_default"
    )]
    preferred: Vec<PreferredNode>,
}

#[derive(Deserialize)]
struct Named {
    name: Istr,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: Istr,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<serde::de::IgnoredAny>,
    image: Option<ImageSource>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: Istr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ImageSource {
    reference: Istr,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    nominated_node_name: Option<Istr>,
    start_time: Option<Time>,
    #[serde(deserialize_with = "null_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_default")]
    container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "null_default")]
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: Istr,
    status: Istr,
    reason: Istr,
    message: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: Istr,
    allocated_resources: Option<ResourceList>,
    resources: Option<StatusResources>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusResources {
    requests: Option<ResourceList>,
}

/// Requests, and what scoring takes cpu and memory for where they are missing.
#[derive(Clone, Default)]
struct Amounts {
    requests: Requests,
    nonzero: Requests,
}

impl Amounts {
    fn of(list: &ResourceList) -> Self {
        let requests = Requests::from_list(list);
        let nonzero = Requests {
            milli_cpu: if list.contains_key("cpu") {
                requests.milli_cpu
            } else {
                DEFAULT_MILLI_CPU
            },
            memory: if list.contains_key("memory") {
                requests.memory
            } else {
                DEFAULT_MEMORY
            },
            ..Requests::default()
        };
        Self { requests, nonzero }
    }

    fn add(&mut self, other: &Amounts) {
        self.requests.add(&other.requests);
        self.nonzero.add(&other.nonzero);
    }
}

/// Sums containers as KEP-753 says: the largest of what runs at once while init containers run and after.
fn aggregate(spec: &Spec, amounts_of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&amounts_of(container));
    }
    let (mut sidecars, mut starting) = (Amounts::default(), Amounts::default());
    for container in &spec.init_containers {
        let mut amounts = amounts_of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&amounts);
            sidecars.add(&amounts);
            amounts = sidecars.clone();
        } else {
            amounts.add(&sidecars);
        }
        starting.requests.raise_to(&amounts.requests);
        starting.nonzero.raise_to(&amounts.nonzero);
    }
    running.requests.raise_to(&starting.requests);
    running.nonzero.raise_to(&starting.nonzero);
    running
}

impl Spec {
    /// Puts pod-level requests and overhead on what the containers sum up to.
    fn whole(&self, mut amounts: Amounts) -> Amounts {
        if let Some(resources) = &self.resources {
            amounts.requests.replace_pod_level(&resources.requests);
            amounts.nonzero.replace_pod_level(&resources.requests);
        }
        let overhead = Requests::from_list(&self.overhead);
        amounts.requests.add(&overhead);
        amounts.nonzero.add(&overhead);
        amounts
    }
}

/// What the pod counts for on its node when its status reports other resources than its spec; `None` when they agree.
fn resized(spec: &Spec, status: &Status, wanted: &Requests) -> Option<Box<Requests>> {
    let statuses = || {
        status
            .container_statuses
            .iter()
            .chain(&status.init_container_statuses)
    };
    if !statuses().any(|one| one.allocated_resources.is_some() || one.resources.is_some()) {
        return None;
    }
    let infeasible = status
        .conditions
        .iter()
        .any(|c| c.r#type == "PodResizePending" && c.reason == "Infeasible");
    let nothing = ResourceList::new();
    let pick = |container: &Container, actuated: bool| {
        let reported = statuses().find(|one| one.name == container.name);
        let allocated = reported.and_then(|one| one.allocated_resources.as_ref());
        let running = reported.and_then(|one| one.resources.as_ref()?.requests.as_ref());
        let fallback = if infeasible {
            &nothing
        } else {
            &container.resources.requests
        };
        Amounts::of(running.filter(|_| actuated).or(allocated).unwrap_or(fallback))
    };
    let mut counts = aggregate(spec, |container| pick(container, false));
    counts
        .requests
        .raise_to(&aggregate(spec, |container| pick(container, true)).requests);
    if !infeasible {
        counts
            .requests
            .raise_to(&aggregate(spec, |container| Amounts::of(&container.resources.requests)).requests);
    }
    let counts = spec.whole(counts).requests;
    (counts != *wanted).then(|| Box::new(counts))
}

/// The name with the tag that the container runtime would add.
pub fn normalized_image(name: &str) -> Istr {
    let tagged = match (name.rfind(':'), name.rfind('/')) {
        (None, _) => false,
        (Some(colon), Some(slash)) => colon > slash,
        (Some(_), None) => true,
    };
    if tagged {
        Istr::from(name)
    } else {
        Istr::from(format!("{name}:latest"))
    }
}

impl Pod {
    pub fn slim(self) -> super::Pod {
        let Pod {
            metadata: mut meta,
            spec,
            status,
        } = self;
        let whole = spec.whole(aggregate(&spec, |container| {
            Amounts::of(&container.resources.requests)
        }));
        let resized = spec
            .node_name
            .as_ref()
            .and_then(|_| resized(&spec, &status, &whole.requests));
        let controller = meta.controller().map(|owner| Controller {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
        });
        let mut claims = Vec::new();
        let mut images: Vec<Istr> = spec
            .containers
            .iter()
            .chain(&spec.init_containers)
            .map(|c| normalized_image(&c.image))
            .collect();
        for volume in &spec.volumes {
            if let Some(claim) = &volume.persistent_volume_claim {
                claims.push(Claim::Named(claim.claim_name.clone()));
            } else if volume.ephemeral.is_some() {
                claims.push(Claim::Ephemeral(volume.name.clone()));
            } else if let Some(image) = &volume.image {
                images.push(normalized_image(&image.reference));
            }
        }
        let sidecars = spec
            .init_containers
            .iter()
            .filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let mut host_ports: Vec<HostPort> = spec
            .containers
            .iter()
            .chain(sidecars)
            .flat_map(|container| &container.ports)
            .filter(|port| port.host_port > 0)
            .map(|port| HostPort {
                ip: if port.host_ip.is_empty() {
                    "0.0.0.0".into()
                } else {
                    port.host_ip.clone()
                },
                protocol: if port.protocol.is_empty() {
                    "TCP".into()
                } else {
                    port.protocol.clone()
                },
                port: port.host_port,
            })
            .collect();
        host_ports.sort();
        host_ports.dedup();
        let affinity = spec.affinity.unwrap_or_default();
        let body = PodBody {
            labels: std::mem::take(&mut meta.labels),
            controller,
            scheduler_name: spec.scheduler_name,
            priority: spec.priority.unwrap_or(0),
            preempts: spec.preemption_policy.as_deref() != Some("Never"),
            requests: whole.requests,
            nonzero_milli_cpu: whole.nonzero.milli_cpu,
            nonzero_memory: whole.nonzero.memory,
            host_ports,
            images,
            node_selector: spec.node_selector,
            required_node_affinity: affinity.node_affinity.required,
            preferred_node_affinity: affinity.node_affinity.preferred,
            pod_affinity: affinity.pod_affinity,
            pod_anti_affinity: affinity.pod_anti_affinity,
            tolerations: spec.tolerations,
            spread: spec.topology_spread_constraints,
            scheduling_gates: spec.scheduling_gates.into_iter().map(|gate| gate.name).collect(),
            claims,
        };
        let preempted = status.conditions.iter().any(|c| {
            c.r#type == "DisruptionTarget" && c.status == "True" && c.reason == "PreemptionByScheduler"
        });
        let unscheduled = status
            .conditions
            .into_iter()
            .find(|condition| condition.r#type == "PodScheduled" && condition.status != "True")
            .map(|condition| {
                Box::new(PodScheduled {
                    status: condition.status.as_str().into(),
                    reason: condition.reason.as_str().into(),
                    message: condition.message,
                })
            });
        meta.annotations = Default::default();
        meta.finalizers = Vec::new();
        meta.owner_references = Vec::new();
        super::Pod {
            meta,
            body: body.share(),
            node_name: spec.node_name.filter(|name| !name.is_empty()),
            nominated_node: status.nominated_node_name.filter(|name| !name.is_empty()),
            unscheduled,
            start_time: status.start_time.map(|time| time.0.as_second()),
            preempted,
            resized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pod;
    use super::*;

    fn pod(json: &str) -> Pod {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn init_containers_count_by_their_largest_and_sidecars_add_up() {
        let pod = pod(r#"{"metadata":{"name":"p"},"spec":{"overhead":{"cpu":"10m"},
            "initContainers":[
              {"name":"i","resources":{"requests":{"cpu":"2","memory":"1Gi"}}},
              {"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},
              {"name":"j","resources":{"requests":{"memory":"3Gi","example.com/gpu":"1"}}}],
            "containers":[{"name":"a","resources":{"requests":{"cpu":"500m","memory":"1Gi"}}},{"name":"b","resources":{"requests":{"cpu":"1"}}}]}}"#);
        let body = &pod.body;
        assert_eq!(body.requests.milli_cpu, 2010);
        assert_eq!(body.requests.memory, 3 << 30);
        assert_eq!(body.requests.scalar("example.com/gpu"), 1);
        assert_eq!(
            body.nonzero_memory,
            (3 << 30) + DEFAULT_MEMORY,
            "the sidecar's missing memory is assumed while j runs"
        );
    }

    #[test]
    fn equal_bodies_are_one_allocation() {
        let text = |name: &str| {
            format!(r#"{{"metadata":{{"name":"{name}","labels":{{"share":"yes"}}}},"spec":{{}}}}"#)
        };
        assert!(std::sync::Arc::ptr_eq(
            &pod(&text("a")).body,
            &pod(&text("b")).body
        ));
    }

    #[test]
    fn host_ports_default_to_every_address_and_tcp() {
        let pod = pod(
            r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"r/x","ports":[{"containerPort":80},{"hostPort":80}]}]}}"#,
        );
        assert_eq!(
            pod.body.host_ports,
            [HostPort {
                ip: "0.0.0.0".into(),
                protocol: "TCP".into(),
                port: 80
            }]
        );
        assert_eq!(pod.body.images, [Istr::from("r/x:latest")]);
    }

    #[test]
    fn a_pod_that_shrinks_still_counts_for_what_it_was_given() {
        let pod = pod(
            r#"{"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]},
            "status":{"containerStatuses":[{"name":"a","allocatedResources":{"cpu":"2"},"resources":{"requests":{"cpu":"3"}}}]}}"#,
        );
        assert_eq!(pod.body.requests.milli_cpu, 1000);
        assert_eq!(pod.resized.map(|r| r.milli_cpu), Some(3000));
    }
}
