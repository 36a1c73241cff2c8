//! NodeResourcesFit: a node must have what a pod asks for, and nodes are ranked by what would be left.

use machinery::meta::Istr;
use serde::Deserialize;

use super::resource_columns::{Missing, ResourceSpec, Share, default_resources, for_each_row};
use crate::api::{Node, PodBody};
use crate::cache::{Amount, RowId, Snapshot};
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, Reach, ScorePlugin};
use crate::framework::{
    Action, Change, ClusterEvent, Code, CycleState, EventResource, Hint, MAX_SCORE, Occurrence, Plugin,
    PodView, Sieve,
};

/// `NodeResourcesFitArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    ignored_resources: Vec<Istr>,
    ignored_resource_groups: Vec<Istr>,
    scoring_strategy: Strategy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Strategy {
    r#type: StrategyType,
    resources: Vec<ResourceSpec>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum StrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ratio {
    shape: Vec<ShapePoint>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShapePoint {
    /// 0 to 100.
    utilization: i64,
    /// 0 to 10.
    score: i64,
}

/// How much a node's use of one resource is worth, 0 to 100.
enum Scorer {
    Least,
    Most,
    /// Straight lines between points of utilization and score.
    Ratio(Vec<ShapePoint>),
}

pub struct Fit {
    ignored: Vec<Istr>,
    ignored_groups: Vec<Istr>,
    resources: Vec<ResourceSpec>,
    scorer: Scorer,
}

impl Fit {
    pub fn new(args: Args) -> Result<Self, String> {
        let strategy = args.scoring_strategy;
        let mut resources = if strategy.resources.is_empty() {
            default_resources()
        } else {
            strategy.resources
        };
        for resource in &mut resources {
            if resource.weight == 0 {
                resource.weight = 1;
            }
            if !(1..=100).contains(&resource.weight) {
                return Err(format!(
                    "scoringStrategy.resources: weight {} of {} is not in 1 to 100",
                    resource.weight, resource.name
                ));
            }
        }
        if let Some(group) = args
            .ignored_resource_groups
            .iter()
            .find(|group| group.contains('/'))
        {
            return Err(format!("ignoredResourceGroups: {group} must not contain a slash"));
        }
        let scorer = match strategy.r#type {
            StrategyType::LeastAllocated => Scorer::Least,
            StrategyType::MostAllocated => Scorer::Most,
            StrategyType::RequestedToCapacityRatio => {
                Scorer::Ratio(points(strategy.requested_to_capacity_ratio)?)
            }
        };
        Ok(Self {
            ignored: args.ignored_resources,
            ignored_groups: args.ignored_resource_groups,
            resources,
            scorer,
        })
    }

    fn ignores(&self, name: &str) -> bool {
        let group = name.split('/').next().unwrap_or_default();
        // Only extended resources may be ignored: those of a domain other than Kubernetes' own.
        name.contains('/')
            && !group.ends_with("kubernetes.io")
            && (self.ignored.iter().any(|held| held == name)
                || self.ignored_groups.iter().any(|held| held == group))
    }

    fn score(&self, shares: &[Share]) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for (share, resource) in shares.iter().zip(&self.resources) {
            if share.allocatable == 0 {
                continue;
            }
            let fits = share.wanted <= share.allocatable;
            let score = match &self.scorer {
                Scorer::Least if fits => (share.allocatable - share.wanted) * MAX_SCORE / share.allocatable,
                Scorer::Least => 0,
                Scorer::Most => share.wanted.min(share.allocatable) * MAX_SCORE / share.allocatable,
                Scorer::Ratio(points) => {
                    let used = if fits {
                        share.wanted * 100 / share.allocatable
                    } else {
                        100
                    };
                    let score = along(points, used);
                    if score <= 0 {
                        continue;
                    }
                    score
                }
            };
            sum += score * resource.weight;
            weights += resource.weight;
        }
        match (&self.scorer, weights) {
            (_, 0) => 0,
            (Scorer::Ratio(_), _) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

fn points(ratio: Option<Ratio>) -> Result<Vec<ShapePoint>, String> {
    let at = "scoringStrategy.requestedToCapacityRatio.shape";
    let mut points = ratio.map(|ratio| ratio.shape).unwrap_or_default();
    if points.is_empty() {
        return Err(format!("{at}: at least one point must be specified"));
    }
    if !points
        .iter()
        .all(|point| (0..=100).contains(&point.utilization) && (0..=10).contains(&point.score))
    {
        return Err(format!(
            "{at}: utilization must be in 0 to 100 and score in 0 to 10"
        ));
    }
    if !points
        .windows(2)
        .all(|pair| pair[0].utilization < pair[1].utilization)
    {
        return Err(format!(
            "{at}: utilization values must be sorted in increasing order"
        ));
    }
    for point in &mut points {
        point.score *= MAX_SCORE / 10;
    }
    Ok(points)
}

fn along(points: &[ShapePoint], used: i64) -> i64 {
    let mut before: Option<&ShapePoint> = None;
    for point in points {
        if used <= point.utilization {
            return before.map_or(point.score, |before| {
                before.score
                    + (point.score - before.score) * (used - before.utilization)
                        / (point.utilization - before.utilization)
            });
        }
        before = Some(point);
    }
    before.map_or(0, |last| last.score)
}

impl Plugin for Fit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

/// A resource that a row lacks.
struct Lack {
    /// More than the node has when it is empty: evicting pods would not help.
    hopeless: bool,
}

fn lack(amount: &Amount, row: RowId, request: i64) -> Option<Lack> {
    (request > 0 && request > amount.free(row)).then(|| Lack {
        hopeless: request > amount.allocatable[row.0 as usize],
    })
}

impl FilterPlugin for Fit {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let rows = snapshot.rows();
        let requests = &view.shape.body.requests;
        let nothing = Amount {
            allocatable: vec![0; rows.len()],
            used: vec![0; rows.len()],
        };
        let scalars: Vec<(&Istr, i64, &Amount)> = requests
            .scalars
            .iter()
            .filter(|(name, amount)| *amount > 0 && !self.ignores(name))
            .map(|(name, amount)| (name, *amount, rows.scalar(name).unwrap_or(&nothing)))
            .collect();
        sieve.judge_each(|row| {
            let mut reasons = Vec::new();
            let mut hopeless = false;
            if rows.pods.free(row) < 1 {
                reasons.push("Too many pods".to_owned());
            }
            for (name, amount, request) in [
                ("cpu", &rows.milli_cpu, requests.milli_cpu),
                ("memory", &rows.memory, requests.memory),
                ("ephemeral-storage", &rows.ephemeral, requests.ephemeral),
            ] {
                if let Some(lack) = lack(amount, row, request) {
                    reasons.push(format!("Insufficient {name}"));
                    hopeless |= lack.hopeless;
                }
            }
            for (name, request, amount) in &scalars {
                if let Some(lack) = lack(amount, row, *request) {
                    reasons.push(format!("Insufficient {name}"));
                    hopeless |= lack.hopeless;
                }
            }
            let code = if hopeless {
                Code::UnschedulableAndUnresolvable
            } else {
                Code::Unschedulable
            };
            (!reasons.is_empty()).then_some((code, reasons))
        });
    }
}

impl ScorePlugin for Fit {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn score(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        _: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    ) {
        let body = &view.shape.body;
        for_each_row(
            &self.resources,
            body,
            Missing::Assumed,
            snapshot,
            rows,
            scores,
            |shares| self.score(shares),
        );
    }
}

impl EnqueueExtensions for Fit {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(
                EventResource::AssignedPod,
                Action::DELETE.or(Action::POD_SCALE_DOWN),
            ),
            ClusterEvent::new(EventResource::TargetPod, Action::POD_SCALE_DOWN),
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_ALLOCATABLE)),
        ]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, _: &Snapshot) -> Hint {
        let Change::Node { old, new: Some(new) } = &occurrence.change else {
            return Hint::Queue;
        };
        let body = &view.shape.body;
        let helps = fits_empty(body, new) && old.as_ref().is_none_or(|old| gained(body, old, new));
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

/// Whether the node, with nothing on it, has what the pod asks for.
fn fits_empty(body: &PodBody, node: &Node) -> bool {
    let (wanted, has) = (&body.requests, &node.allocatable);
    node.allowed_pods >= 1
        && wanted.milli_cpu <= has.milli_cpu
        && wanted.memory <= has.memory
        && wanted.ephemeral <= has.ephemeral
        && wanted
            .scalars
            .iter()
            .all(|(name, amount)| *amount <= has.scalar(name))
}

/// Whether the node has got more of something that the pod asks for.
fn gained(body: &PodBody, old: &Node, new: &Node) -> bool {
    let (wanted, had, has) = (&body.requests, &old.allocatable, &new.allocatable);
    new.allowed_pods > old.allowed_pods
        || (wanted.milli_cpu > 0 && has.milli_cpu > had.milli_cpu)
        || (wanted.memory > 0 && has.memory > had.memory)
        || (wanted.ephemeral > 0 && has.ephemeral > had.ephemeral)
        || wanted
            .scalars
            .iter()
            .any(|(name, amount)| *amount > 0 && has.scalar(name) > had.scalar(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(args: &str) -> Result<Fit, String> {
        Fit::new(serde_json::from_str(args).unwrap())
    }

    #[test]
    fn strategies_score_the_use_of_resources() {
        let shares = [
            Share {
                allocatable: 4000,
                used: 0,
                wanted: 3000,
            },
            Share {
                allocatable: 10_000,
                used: 0,
                wanted: 5000,
            },
        ];
        let overfull = [
            Share {
                allocatable: 4000,
                used: 0,
                wanted: 5000,
            },
            Share {
                allocatable: 10_000,
                used: 0,
                wanted: 5000,
            },
        ];
        let ratio = r#"{"scoringStrategy":{"type":"RequestedToCapacityRatio","requestedToCapacityRatio":{"shape":[{"utilization":0,"score":0},{"utilization":100,"score":10}]}}}"#;
        let weighted = r#"{"scoringStrategy":{"type":"LeastAllocated","resources":[{"name":"cpu","weight":2},{"name":"memory"}]}}"#;
        for (args, shares, want) in [
            ("{}", &shares, 37),
            ("{}", &overfull, 25),
            (weighted, &shares, 33),
            (r#"{"scoringStrategy":{"type":"MostAllocated"}}"#, &shares, 62),
            (r#"{"scoringStrategy":{"type":"MostAllocated"}}"#, &overfull, 75),
            (ratio, &shares, 63),
            (ratio, &overfull, 75),
        ] {
            assert_eq!(fit(args).unwrap().score(shares), want, "{args}");
        }
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        for (args, complaint) in [
            (
                r#"{"scoringStrategy":{"type":"RequestedToCapacityRatio"}}"#,
                "at least one point",
            ),
            (
                r#"{"scoringStrategy":{"resources":[{"name":"cpu","weight":101}]}}"#,
                "not in 1 to 100",
            ),
            (r#"{"ignoredResourceGroups":["a/b"]}"#, "must not contain a slash"),
        ] {
            let error = fit(args).err().unwrap();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
