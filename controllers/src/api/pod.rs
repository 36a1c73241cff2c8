//! Pods.

use super::{Condition, ConditionStatus};
use jiff::{SignedDuration, Timestamp};
use machinery::arith::Toleration;
use machinery::arith::node_affinity::NodeSelector;
use machinery::meta::{Istr, Object, ObjectMeta, Time, null_default};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::net::IpAddr;

/// A core/v1 `Pod`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

impl Object for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Istr,
    pub hostname: Istr,
    pub subdomain: Istr,
    pub restart_policy: Istr,
    /// The JSON of the tolerations: most pods have the same, so the text is interned.
    #[serde(deserialize_with = "interned_json")]
    tolerations: Istr,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    /// The volumes that claims stand behind.
    #[serde(rename = "volumes", deserialize_with = "claim_volumes")]
    pub claims: Box<[ClaimVolume]>,
    pub active_deadline_seconds: Option<i64>,
    pub priority_class_name: Istr,
    /// The JSON of what the pod asks for as a whole, and of what its runtime needs.
    #[serde(deserialize_with = "interned_json")]
    pub resources: Istr,
    #[serde(deserialize_with = "interned_json")]
    pub overhead: Istr,
    #[serde(deserialize_with = "null_default")]
    pub affinity: Affinity,
}

/// A volume of a pod that a PersistentVolumeClaim stands behind.
#[derive(Debug)]
pub struct ClaimVolume {
    /// The volume's name.
    pub name: Istr,
    pub source: ClaimSource,
}

/// Which claim stands behind a volume.
#[derive(Debug)]
pub enum ClaimSource {
    /// The claim of this name.
    Named(Istr),
    /// One that comes and goes with the pod, made of this template (JSON of a `PersistentVolumeClaimTemplate`).
    Ephemeral(Box<RawValue>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: Istr,
    #[serde(deserialize_with = "named_ports")]
    ports: Vec<NamedPort>,
    restart_policy: Option<Istr>,
    /// JSON, the same for all pods of a workload.
    #[serde(deserialize_with = "interned_json")]
    resources: Istr,
}

impl Container {
    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// What controllers ask about a pod's affinity.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// The one node that the required node affinity names.
    node: Istr,
    /// Whether it looks at pods of other namespaces.
    pub crosses_namespaces: bool,
}

/// A container port that a Service can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    pub name: Istr,
    pub port: i32,
    pub protocol: Istr,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Phase,
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<Condition>,
    pub container_statuses: Containers,
    pub init_container_statuses: Containers,
    #[serde(rename = "podIPs", deserialize_with = "addresses")]
    pub pod_ips: Vec<IpAddr>,
    pub start_time: Option<Time>,
    pub reason: Istr,
    pub qos_class: Istr,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Whether the pod's containers have all stopped for good.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What the statuses of a pod's containers tell, without those that run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Containers {
    /// The largest restart count.
    pub largest: i32,
    /// All restarts.
    pub restarts: i32,
    /// How many have not ended.
    pub going: u16,
    /// Those that have.
    pub ended: Box<[Ended]>,
}

/// A container that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub name: Istr,
    pub exit_code: i32,
    pub finished_at: Option<Time>,
}

impl PodSpec {
    /// What the pod tolerates.
    pub fn tolerations(&self) -> Vec<Toleration> {
        serde_json::from_str(&self.tolerations).unwrap_or_default()
    }

    /// Whether both tolerate the same, without decoding what.
    pub fn tolerates_the_same(&self, other: &Self) -> bool {
        self.tolerations == other.tolerations
    }

    /// The names of the sidecars.
    pub fn sidecars(&self) -> impl Iterator<Item = &Istr> {
        self.init_containers
            .iter()
            .filter(|container| container.is_sidecar())
            .map(|container| &container.name)
    }

    /// What each container asks for, as JSON.
    pub fn container_resources(&self) -> impl Iterator<Item = &Istr> {
        self.containers.iter().map(|container| &container.resources)
    }

    /// What each init container asks for, as JSON, and whether it stays as a sidecar.
    pub fn init_container_resources(&self) -> impl Iterator<Item = (&Istr, bool)> {
        self.init_containers
            .iter()
            .map(|container| (&container.resources, container.is_sidecar()))
    }

    /// The number of the port with this name and protocol, among containers and then sidecars.
    pub fn named_port(&self, name: &str, protocol: &str) -> Option<i32> {
        let sidecars = self
            .init_containers
            .iter()
            .filter(|container| container.is_sidecar());
        self.containers
            .iter()
            .chain(sidecars)
            .flat_map(|container| &container.ports)
            .find(|port| port.name == name && port.protocol == protocol)
            .map(|port| port.port)
    }
}

impl Pod {
    /// The node that the pod is on, or else the one that its node affinity names, as a DaemonSet's does.
    pub fn target_node(&self) -> Option<&Istr> {
        [&self.spec.node_name, &self.spec.affinity.node]
            .into_iter()
            .find(|name| !name.is_empty())
    }

    /// Whether the pod is ready, and has been for long enough.
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.is_ready()
            && (min_ready_seconds == 0
                || self.ready_since().is_some_and(|since| {
                    since.0 + SignedDuration::from_secs(min_ready_seconds.into()) <= now
                }))
    }

    /// The names of the claims that the pod uses, with those that come and go with it.
    pub fn claim_names(&self) -> impl Iterator<Item = Istr> + '_ {
        self.spec.claims.iter().map(|volume| match &volume.source {
            ClaimSource::Named(claim) => claim.clone(),
            ClaimSource::Ephemeral(_) => format!("{}-{}", self.metadata.name, volume.name).into(),
        })
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    /// Whether the pod is ready.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready")
            .is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// When the pod became ready, if it is.
    pub fn ready_since(&self) -> Option<Time> {
        self.condition("Ready")
            .filter(|c| c.status == ConditionStatus::True)
            .and_then(|c| c.last_transition_time)
    }

    /// Whether the pod counts as a replica: it has not ended and is not being deleted.
    pub fn is_active(&self) -> bool {
        !self.status.phase.is_terminal() && !self.metadata.is_deleting()
    }

    /// Whether the pod is being deleted and its containers may still run.
    pub fn is_terminating(&self) -> bool {
        !self.status.phase.is_terminal() && self.metadata.is_deleting()
    }
}

impl<'de> Deserialize<'de> for Affinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Whole {
            node_affinity: Option<NodeAffinity>,
            pod_affinity: Option<Terms>,
            pod_anti_affinity: Option<Terms>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct NodeAffinity {
            required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Terms {
            #[serde(deserialize_with = "null_default")]
            required_during_scheduling_ignored_during_execution: Vec<Term>,
            #[serde(deserialize_with = "null_default")]
            preferred_during_scheduling_ignored_during_execution: Vec<Weighted>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Weighted {
            pod_affinity_term: Term,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Term {
            #[serde(deserialize_with = "null_default")]
            namespaces: Vec<IgnoredAny>,
            namespace_selector: Option<IgnoredAny>,
        }
        let crosses = |term: &Term| !term.namespaces.is_empty() || term.namespace_selector.is_some();
        let whole = Whole::deserialize(deserializer)?;
        let nodes = whole
            .node_affinity
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution)
            .unwrap_or_default();
        let by_name = nodes
            .node_selector_terms
            .iter()
            .flat_map(|term| &term.match_fields)
            .find(|field| &*field.key == "metadata.name" && &*field.operator == "In");
        let mut all = [whole.pod_affinity, whole.pod_anti_affinity]
            .into_iter()
            .flatten();
        Ok(Self {
            node: match by_name.map(|field| &*field.values) {
                Some([name]) => Istr::from(&**name),
                _ => Istr::default(),
            },
            crosses_namespaces: all.any(|terms| {
                let required = &terms.required_during_scheduling_ignored_during_execution;
                let preferred = &terms.preferred_during_scheduling_ignored_during_execution;
                required.iter().any(crosses) || preferred.iter().any(|term| crosses(&term.pod_affinity_term))
            }),
        })
    }
}

fn interned_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Istr, D::Error> {
    Ok(Option::<Box<RawValue>>::deserialize(deserializer)?
        .map_or_else(Istr::default, |raw| Istr::from(raw.get())))
}

fn named_ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NamedPort>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Port {
        #[serde(default)]
        name: Istr,
        #[serde(default)]
        container_port: i32,
        #[serde(default)]
        protocol: Istr,
    }
    let ports: Option<Vec<Port>> = Option::deserialize(deserializer)?;
    let named = ports
        .unwrap_or_default()
        .into_iter()
        .filter(|port| !port.name.is_empty());
    Ok(named
        .map(
            |Port {
                 name,
                 container_port,
                 protocol,
             }| NamedPort {
                name,
                port: container_port,
                protocol,
            },
        )
        .collect())
}

impl<'de> Deserialize<'de> for Containers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ContainerStatus {
            #[serde(default)]
            name: Istr,
            #[serde(default)]
            restart_count: i32,
            #[serde(default)]
            state: State,
        }
        #[derive(Default, Deserialize)]
        struct State {
            #[serde(default)]
            terminated: Option<Terminated>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Terminated {
            #[serde(default)]
            exit_code: i32,
            #[serde(default)]
            finished_at: Option<Time>,
        }
        let statuses: Option<Vec<ContainerStatus>> = Option::deserialize(deserializer)?;
        let mut containers = Self::default();
        let mut ended = Vec::new();
        for status in statuses.unwrap_or_default() {
            containers.largest = containers.largest.max(status.restart_count);
            containers.restarts = containers.restarts.saturating_add(status.restart_count);
            match status.state.terminated {
                None => containers.going = containers.going.saturating_add(1),
                Some(Terminated {
                    exit_code,
                    finished_at,
                }) => ended.push(Ended {
                    name: status.name,
                    exit_code,
                    finished_at,
                }),
            }
        }
        containers.ended = ended.into();
        Ok(containers)
    }
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    #[derive(Deserialize)]
    struct PodIp {
        #[serde(default)]
        ip: Box<str>,
    }
    let ips: Option<Vec<PodIp>> = Option::deserialize(deserializer)?;
    Ok(ips
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| entry.ip.parse().ok())
        .collect())
}

fn claim_volumes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[ClaimVolume]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Volume {
        #[serde(default)]
        name: Istr,
        persistent_volume_claim: Option<Claim>,
        ephemeral: Option<Ephemeral>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Claim {
        #[serde(default)]
        claim_name: Istr,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ephemeral {
        volume_claim_template: Option<Box<RawValue>>,
    }
    let volumes: Option<Vec<Volume>> = Option::deserialize(deserializer)?;
    let source = |volume: Volume| {
        let source = match (volume.persistent_volume_claim, volume.ephemeral) {
            (Some(claim), _) => ClaimSource::Named(claim.claim_name),
            (None, Some(ephemeral)) => ClaimSource::Ephemeral(ephemeral.volume_claim_template?),
            (None, None) => return None,
        };
        Some(ClaimVolume {
            name: volume.name,
            source,
        })
    };
    Ok(volumes
        .unwrap_or_default()
        .into_iter()
        .filter_map(source)
        .collect())
}
