//! A pod's constraints, compiled, with the counts that they look at.

use machinery::arith::selector::{Requirement, Selector, Test};
use machinery::meta::Istr;
use smallvec::SmallVec;

use super::{DO_NOT_SCHEDULE, PodTopologySpread, SCHEDULE_ANYWAY};
use crate::api::pod::SpreadConstraint;
use crate::cache::term::{PodMatch, compile};
use crate::cache::{CountHandle, Matcher, NodeSetSpec, Shape, Snapshot, TopologyId};
use crate::framework::CycleState;
use crate::plugins::labels::HOSTNAME;

/// One constraint.
pub struct Constraint {
    pub key: TopologyId,
    pub is_hostname: bool,
    pub max_skew: i64,
    pub min_domains: i64,
    /// Whether the pod itself is among them.
    pub matches_itself: bool,
    /// Those pods, by domain of the nodes that take part.
    pub count: CountHandle,
}

/// A shape's constraints, kept from one pod to the next.
pub struct Constraints {
    pub hard: Vec<Constraint>,
    pub soft: Vec<Constraint>,
    /// Whether a node must have all keys of the soft constraints to be scored.
    pub all_keys: bool,
    workloads: Option<u64>,
}

impl PodTopologySpread {
    /// Makes sure that the compiled constraints are there and up to date.
    pub fn prepare(&self, shape: &Shape, snapshot: &mut Snapshot, state: &mut CycleState) {
        let own = !shape.body.spread.is_empty();
        let workloads = (!own).then(|| snapshot.workloads().epoch());
        if state
            .memo
            .get::<Constraints>()
            .is_some_and(|held| held.workloads == workloads)
        {
            return;
        }
        let constraints = Constraints {
            hard: self.compile(shape, snapshot, DO_NOT_SCHEDULE),
            soft: self.compile(shape, snapshot, SCHEDULE_ANYWAY),
            all_keys: self.needs_all_keys(shape),
            workloads,
        };
        state.memo.put(constraints);
    }

    fn needs_all_keys(&self, shape: &Shape) -> bool {
        !shape.body.spread.is_empty() || !self.system_defaults
    }

    fn compile(&self, shape: &Shape, snapshot: &mut Snapshot, action: &str) -> Vec<Constraint> {
        let wanted = self.select(shape, snapshot, action);
        let ids: Vec<TopologyId> = wanted
            .iter()
            .map(|(constraint, _)| snapshot.topology_id(&constraint.topology_key))
            .collect();
        let mut keys: SmallVec<[TopologyId; 2]> = SmallVec::new();
        if action == DO_NOT_SCHEDULE || self.needs_all_keys(shape) {
            keys.extend(ids.iter().copied());
            keys.sort();
            keys.dedup();
        }
        let mut compiled = Vec::with_capacity(wanted.len());
        for ((constraint, selector), key) in wanted.into_iter().zip(ids) {
            let honors =
                |policy: &Option<Istr>, default| policy.as_ref().map_or(default, |policy| policy == "Honor");
            let honors_affinity = honors(&constraint.node_affinity_policy, true);
            let honors_taints = honors(&constraint.node_taints_policy, false);
            let nodes = snapshot.node_set(NodeSetSpec {
                affinity: shape.node_affinity.clone().filter(|_| honors_affinity),
                tolerations: honors_taints.then(|| shape.tolerations.clone()),
                keys: keys.clone(),
            });
            // A selector that picks everything counts nothing, as upstream has it.
            let counted = selector.clone().filter(|selector| !selector.is_everything());
            let pods = PodMatch::in_namespace(&shape.namespace, counted);
            let matcher = Matcher {
                all_of: [pods].into(),
                skip_deleting: true,
            };
            let labels = &shape.body.labels;
            compiled.push(Constraint {
                key,
                is_hostname: constraint.topology_key == HOSTNAME,
                max_skew: i64::from(constraint.max_skew),
                min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
                matches_itself: selector
                    .as_ref()
                    .is_some_and(|selector| selector.matches(|key| labels.get(key))),
                count: snapshot.count(&matcher, key, Some(&nodes)),
            });
        }
        compiled
    }

    /// The constraints of one kind, with their selectors: the pod's own, or the defaults if it has none of any kind.
    pub fn select(
        &self,
        shape: &Shape,
        snapshot: &Snapshot,
        action: &str,
    ) -> Vec<(SpreadConstraint, Option<Selector>)> {
        let body = &shape.body;
        let of_kind = |constraint: &&SpreadConstraint| constraint.when_unsatisfiable == action;
        if !body.spread.is_empty() {
            let with_selector = |constraint: &SpreadConstraint| {
                let selector = compile(constraint.label_selector.as_ref());
                let selector = selector.map(|selector| with_label_keys(&selector, constraint, shape));
                (constraint.clone(), selector)
            };
            return body.spread.iter().filter(of_kind).map(with_selector).collect();
        }
        let defaults: Vec<&SpreadConstraint> = self.defaults.iter().filter(of_kind).collect();
        if defaults.is_empty() {
            return Vec::new();
        }
        let selector = snapshot.workloads().selector_of(shape);
        if selector.is_everything() {
            return Vec::new();
        }
        defaults
            .into_iter()
            .map(|constraint| (constraint.clone(), Some(selector.clone())))
            .collect()
    }
}

/// Narrows a selector to pods with the same values of `matchLabelKeys`.
fn with_label_keys(selector: &Selector, constraint: &SpreadConstraint, shape: &Shape) -> Selector {
    let labels = &shape.body.labels;
    let mut requirements = selector.requirements().to_vec();
    for key in &constraint.match_label_keys {
        if let Some(value) = labels.get(key) {
            let requirement = Requirement {
                key: key.as_str().into(),
                test: Test::In([value.into()].into()),
            };
            if !requirements.contains(&requirement) {
                requirements.push(requirement);
            }
        }
    }
    Selector::new(requirements)
}
