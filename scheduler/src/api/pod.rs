//! Pods, and the part of them that pods of one workload share.

use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;
use machinery::arith::node_affinity::{NodeSelector, NodeSelectorTerm};
use machinery::arith::selector::LabelSelector;
use machinery::arith::taint::Toleration;
use machinery::meta::{Istr, Labels, Object, ObjectMeta};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Deserializer};

use super::requests::Requests;
use super::wire;

/// A pod. Labels are in [`Pod::body`]; annotations, finalizers and owners but the controller are not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub meta: ObjectMeta,
    pub body: Arc<PodBody>,
    pub node_name: Option<Istr>,
    pub nominated_node: Option<Istr>,
    /// The `PodScheduled` condition, when there is one that is not `True`.
    pub unscheduled: Option<Box<PodScheduled>>,
    /// When the kubelet took the pod on, in seconds since 1970.
    pub start_time: Option<i64>,
    /// Whether the scheduler has evicted it for another pod.
    pub preempted: bool,
    /// What the pod counts for on its node, where its status says otherwise than its spec (in-place resize).
    pub resized: Option<Box<Requests>>,
}

/// The `PodScheduled` condition as it stands in the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodScheduled {
    pub status: Box<str>,
    pub reason: Box<str>,
    pub message: Box<str>,
}

/// The part of a pod by which it is scheduled: labels and the spec that matters. Equal bodies share one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodBody {
    pub labels: Labels,
    pub controller: Option<Controller>,
    pub scheduler_name: Istr,
    pub priority: i32,
    pub preempts: bool,
    /// What the pod asks for in all: containers, init containers, overhead.
    pub requests: Requests,
    /// The same for scoring, with a container's missing cpu and memory taken as 100m and 200 MB.
    pub nonzero_milli_cpu: i64,
    pub nonzero_memory: i64,
    pub host_ports: Vec<HostPort>,
    /// Images of containers, init containers and image volumes, with their tags.
    pub images: Vec<Istr>,
    pub node_selector: Labels,
    pub required_node_affinity: Option<NodeSelector>,
    pub preferred_node_affinity: Vec<PreferredNode>,
    pub pod_affinity: PodAffinities,
    pub pod_anti_affinity: PodAffinities,
    pub tolerations: Vec<Toleration>,
    pub spread: Vec<SpreadConstraint>,
    pub scheduling_gates: Vec<Istr>,
    /// Names of the persistent volume claims that the pod mounts; those of generic ephemeral volumes need the pod's name.
    pub claims: Vec<Claim>,
}

/// The controller that owns a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    pub api_version: Istr,
    pub kind: Istr,
    pub name: Istr,
}

/// A port that a container asks for on the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub ip: Istr,
    pub protocol: Istr,
    pub port: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNode {
    #[serde(default)]
    pub weight: i32,
    #[serde(default)]
    pub preference: NodeSelectorTerm,
}

/// Either half of inter-pod affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinities {
    #[serde(
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "machinery::meta::null_default"
    )]
    pub required: Vec<PodAffinityTerm>,
    #[serde(
        rename = "preferredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "machinery::meta::null_default"
    )]
    pub preferred: Vec<WeightedPodAffinityTerm>,
}

/// A term as the API server stores it: `matchLabelKeys` are merged into the selector there (KEP-3633).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    pub label_selector: Option<LabelSelector>,
    #[serde(deserialize_with = "machinery::meta::null_default")]
    pub namespaces: Vec<Istr>,
    pub namespace_selector: Option<LabelSelector>,
    pub topology_key: Istr,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    pub weight: i32,
    pub pod_affinity_term: PodAffinityTerm,
}

/// One topology spread constraint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpreadConstraint {
    pub max_skew: i32,
    pub topology_key: Istr,
    pub when_unsatisfiable: Istr,
    pub label_selector: Option<LabelSelector>,
    pub min_domains: Option<i32>,
    pub node_affinity_policy: Option<Istr>,
    pub node_taints_policy: Option<Istr>,
    #[serde(deserialize_with = "machinery::meta::null_default")]
    pub match_label_keys: Vec<Istr>,
}

/// A claim that a pod mounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// By the claim's name.
    Named(Istr),
    /// Of a generic ephemeral volume of this name: the claim is called after pod and volume.
    Ephemeral(Istr),
}

impl Pod {
    pub fn namespace(&self) -> &Istr {
        &self.meta.namespace
    }

    pub fn name(&self) -> &Istr {
        &self.meta.name
    }

    pub fn uid(&self) -> &Istr {
        &self.meta.uid
    }

    pub fn priority(&self) -> i32 {
        self.body.priority
    }

    pub fn is_deleting(&self) -> bool {
        self.meta.is_deleting()
    }

    /// The names of the claims that it mounts.
    pub fn claim_names(&self) -> impl Iterator<Item = Istr> + '_ {
        self.body.claims.iter().map(|claim| match claim {
            Claim::Named(name) => name.clone(),
            Claim::Ephemeral(volume) => Istr::from(format!("{}-{volume}", self.meta.name)),
        })
    }
}

impl Object for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wire::Pod::deserialize(deserializer).map(wire::Pod::slim)
    }
}

type Bodies = HashTable<(u64, Arc<PodBody>)>;
static BODIES: LazyLock<Mutex<Bodies>> = LazyLock::new(|| Mutex::new(HashTable::new()));

impl PodBody {
    /// The one allocation for a body like this.
    pub fn share(self) -> Arc<PodBody> {
        let hash = FxBuildHasher.hash_one(&self);
        let mut bodies = BODIES.lock();
        if let Some((_, held)) = bodies.find(hash, |(other, held)| *other == hash && **held == self) {
            return held.clone();
        }
        // Bodies that only the table holds are swept when it would grow anyway.
        if bodies.len() == bodies.capacity() {
            bodies.retain(|(_, held)| Arc::strong_count(held) > 1);
        }
        let body = Arc::new(self);
        bodies.insert_unique(hash, (hash, body.clone()), |(hash, _)| *hash);
        body
    }
}
