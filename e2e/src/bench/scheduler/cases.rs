//! The kinds of pods, and what they must come to.

use std::time::Duration;

use serde_json::{Value, json};

use super::{RATE, at_least};
use crate::assets::Image;
use crate::bench::meter::Bounds;
use crate::bench::scaled;
use crate::bench::table::Table;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// Nodes of the clusters between which a pod's cost is compared.
pub const SIZES: [usize; 2] = [1000, 5000];
/// Pods a node there; of those that want a node for themselves, fewer than there are nodes.
pub const PODS_PER_NODE: f64 = 6.0;
pub const ALONE_PER_NODE: f64 = 0.9;

/// What a pod asks for beside room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraint {
    None,
    AntiAffinityByHost,
    AffinityByZone,
    PreferredAffinityByHost,
    SpreadOverZones,
}

/// One case of the benchmark.
#[derive(Clone, Debug)]
pub struct Case {
    pub constraint: Constraint,
    pub pods: usize,
    /// Without a limit on the client's requests; else with default settings.
    pub unlimited: bool,
    /// Until all pods are bound.
    pub patience: Duration,
    /// Ours in pods a second, divided by upstream's.
    faster: Option<f64>,
    bounds: Bounds,
}

impl Constraint {
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::AntiAffinityByHost,
        Self::AffinityByZone,
        Self::PreferredAffinityByHost,
        Self::SpreadOverZones,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            Self::None => "basic",
            Self::AntiAffinityByHost => "required anti-affinity by host",
            Self::AffinityByZone => "required affinity by zone",
            Self::PreferredAffinityByHost => "preferred affinity by host",
            Self::SpreadOverZones => "spread over zones",
        }
    }

    /// How many of them `nodes` nodes get where clusters of several sizes are compared.
    pub fn pods_on(self, nodes: usize) -> usize {
        let each = match self {
            Self::AntiAffinityByHost => ALONE_PER_NODE,
            _ => PODS_PER_NODE,
        };
        scaled(nodes, each)
    }
}

impl Case {
    /// Those that the targets name, and upstream's default settings.
    pub fn all(scale: f64) -> Vec<Self> {
        let case = |constraint, pods, faster, processor, peak| Self {
            constraint,
            pods: scaled(pods, scale),
            unlimited: true,
            patience: Duration::from_secs(120),
            faster: Some(faster),
            bounds: Bounds {
                processor: Some(processor),
                peak,
            },
        };
        let constrained = |constraint| case(constraint, 3000, 5.0, 1.0 / 20.0, None);
        let mut cases = vec![
            case(Constraint::None, 3000, 1.8, 1.0 / 5.0, Some(1.0 / 5.0)),
            case(Constraint::AntiAffinityByHost, 900, 3.0, 1.0 / 10.0, None),
            constrained(Constraint::AffinityByZone),
            constrained(Constraint::PreferredAffinityByHost),
            constrained(Constraint::SpreadOverZones),
        ];
        cases.push(Self {
            unlimited: false,
            faster: None,
            bounds: Bounds::default(),
            ..case(Constraint::None, 300, 1.0, 1.0, None)
        });
        cases
    }

    /// One without targets, for larger clusters.
    pub fn plain(constraint: Constraint, pods: usize, patience: Duration) -> Self {
        Self {
            constraint,
            pods,
            unlimited: true,
            patience,
            faster: None,
            bounds: Bounds::default(),
        }
    }

    pub fn name(&self) -> String {
        let settings = if self.unlimited { "" } else { ", default settings" };
        format!("{}, {} pods{settings}", self.constraint.title(), self.pods)
    }

    /// Its rows, before there are samples.
    pub fn declare(&self, table: &mut Table) {
        let (better, targets) = at_least(self.faster);
        table.declare(&self.name(), RATE, better, &targets);
        self.bounds.declare(table, &self.name());
    }
}

/// A node with room for 110 pods, in one of three zones.
pub fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let room = json!({ "cpu": "32", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi" });
    json!({
        "metadata": { "name": name, "labels": { HOST: name, ZONE: format!("zone-{}", number % 3) } },
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "made by a benchmark",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        },
    })
}

/// A pod that asks for `constraint`, towards others like it.
pub fn pod(number: usize, constraint: Constraint) -> Value {
    let selector = json!({ "matchLabels": { "app": "bench" } });
    let term = |key: &str| json!({ "labelSelector": selector, "topologyKey": key });
    let required = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term(key)] });
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "main",
            "image": Image::Pause.reference(),
            "resources": { "requests": { "cpu": "100m", "memory": "100Mi" } },
        }],
    });
    match constraint {
        Constraint::None => {}
        Constraint::AntiAffinityByHost => spec["affinity"] = json!({ "podAntiAffinity": required(HOST) }),
        Constraint::AffinityByZone => spec["affinity"] = json!({ "podAffinity": required(ZONE) }),
        Constraint::PreferredAffinityByHost => {
            spec["affinity"] = json!({ "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": term(HOST) }],
            } });
        }
        Constraint::SpreadOverZones => {
            spec["topologySpreadConstraints"] = json!([{
                "maxSkew": 5,
                "topologyKey": ZONE,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
            }]);
        }
    }
    json!({ "metadata": { "name": format!("pod-{number}"), "labels": { "app": "bench" } }, "spec": spec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_and_fits_the_cluster() {
        let cases = Case::all(1.0);
        let mut names: Vec<String> = cases.iter().map(Case::name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        for case in cases {
            // By host there is one pod a node, in a zone there is a third of the room.
            match case.constraint {
                Constraint::AntiAffinityByHost => assert!(case.pods <= 1000),
                Constraint::AffinityByZone => assert!(case.pods <= 333 * 110),
                _ => assert!(case.pods <= 1000 * 110),
            }
        }
    }

    #[test]
    fn a_tenth_of_the_work_is_a_tenth_of_the_pods() {
        assert_eq!(Case::all(0.1)[0].name(), "basic, 300 pods");
        assert_eq!(Case::all(0.0001)[0].pods, 1);
    }
}
