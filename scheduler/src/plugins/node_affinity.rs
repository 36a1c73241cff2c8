//! NodeAffinity: node selectors, required and preferred node affinity, and what the profile adds to every pod.

use std::collections::BTreeSet;

use machinery::arith::node_affinity::{self, NodeSelector, Term};
use serde::Deserialize;

use super::normalize;
use crate::api::Node;
use crate::api::pod::PreferredNode;
use crate::cache::{RowId, RowSet, Snapshot};
use crate::framework::plugin::{
    EnqueueExtensions, FilterPlugin, PreFilter, PreFilterPlugin, PreScore, Reach, ScorePlugin,
};
use crate::framework::{
    Action, Change, ClusterEvent, Code, CycleState, EventResource, Hint, Occurrence, PASS, Plugin, PodView,
    Sieve, Status,
};

/// `NodeAffinityArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    added_affinity: Option<Affinity>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Affinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<PreferredNode>,
}

pub struct NodeAffinity {
    added: Option<Box<[Term]>>,
    added_preferred: Vec<PreferredNode>,
}

impl NodeAffinity {
    pub fn new(args: &Args) -> Self {
        let added = args.added_affinity.as_ref();
        Self {
            added: added
                .and_then(|added| added.required.as_ref())
                .map(node_affinity::terms),
            added_preferred: added.map(|added| added.preferred.clone()).unwrap_or_default(),
        }
    }

    fn added_matches<'a>(&self, name: &str, label: impl Fn(&str) -> Option<&'a str> + Copy) -> bool {
        self.added
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(name, label)))
    }

    /// Whether the node has what the profile and the pod require.
    fn node_matches(&self, view: &PodView<'_>, node: &Node) -> bool {
        let label = |key: &str| node.meta.labels.get(key);
        self.added_matches(&node.meta.name, label)
            && view.shape.node_affinity.as_ref().is_none_or(|affinity| {
                let by_terms = |terms: &[Term]| terms.iter().any(|term| term.matches(&node.meta.name, label));
                affinity
                    .selector
                    .iter()
                    .all(|(key, value)| label(key) == Some(value.as_str()))
                    && affinity.terms.as_deref().is_none_or(by_terms)
            })
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

/// The names of the only nodes that can match, when every term names its nodes.
fn named_nodes(selector: &NodeSelector) -> Option<BTreeSet<&str>> {
    if selector.node_selector_terms.is_empty() {
        return None;
    }
    let mut names = BTreeSet::new();
    for term in &selector.node_selector_terms {
        let mut of_term: Option<BTreeSet<&str>> = None;
        for field in &term.match_fields {
            if &*field.key == "metadata.name" && &*field.operator == "In" {
                let values: BTreeSet<&str> = field.values.iter().map(|value| &**value).collect();
                of_term = Some(of_term.map_or(values.clone(), |held| {
                    held.intersection(&values).copied().collect()
                }));
            }
        }
        names.extend(of_term?);
    }
    Some(names)
}

impl PreFilterPlugin for NodeAffinity {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        _: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        if view.shape.node_affinity.is_none() && self.added.is_none() {
            return Ok(PreFilter::Skip);
        }
        let names = view
            .shape
            .body
            .required_node_affinity
            .as_ref()
            .and_then(named_nodes);
        match names {
            None => Ok(PreFilter::All),
            Some(names) if names.is_empty() => Err(Status::unresolvable("pod affinity terms conflict")),
            Some(names) => {
                let rows = snapshot.rows();
                let known = names
                    .iter()
                    .filter_map(|name| rows.find(name))
                    .filter(|row| rows.live().contains(*row));
                Ok(PreFilter::Only(known.collect()))
            }
        }
    }
}

impl FilterPlugin for NodeAffinity {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let rows = snapshot.rows();
        if self.added.is_some() {
            let verdict = sieve.verdict(
                Code::UnschedulableAndUnresolvable,
                "node(s) didn't match scheduler-enforced node affinity",
            );
            sieve.judge(|row| {
                if self.added_matches(rows.name(row), |key| rows.label(row, key)) {
                    PASS
                } else {
                    verdict
                }
            });
        }
        if let Some(affinity) = &view.shape.node_affinity {
            let verdict = sieve.verdict(
                Code::UnschedulableAndUnresolvable,
                "node(s) didn't match Pod's node affinity/selector",
            );
            sieve.judge(|row| {
                if affinity.matches(rows, row) {
                    PASS
                } else {
                    verdict
                }
            });
        }
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        _: &mut Snapshot,
        _: &mut CycleState,
        _: &RowSet,
    ) -> Result<bool, Status> {
        Ok(!view.shape.body.preferred_node_affinity.is_empty() || !self.added_preferred.is_empty())
    }
}

impl ScorePlugin for NodeAffinity {
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
        let preferred = self
            .added_preferred
            .iter()
            .chain(&view.shape.body.preferred_node_affinity);
        let terms: Vec<(i64, Term)> = preferred
            .filter(|term| term.weight != 0)
            .filter_map(|term| Some((i64::from(term.weight), Term::new(&term.preference).ok()??)))
            .collect();
        let table = snapshot.rows();
        for (row, score) in rows.iter().zip(scores) {
            let matching = terms
                .iter()
                .filter(|(_, term)| term.matches(table.name(*row), |key| table.label(*row, key)));
            *score = matching.map(|(weight, _)| weight).sum();
        }
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn normalize(&self, _: &PodView<'_>, _: &CycleState, scores: &mut [i64]) {
        normalize::by_largest(scores, false);
    }
}

impl EnqueueExtensions for NodeAffinity {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(
            EventResource::Node,
            Action::ADD.or(Action::NODE_LABEL),
        )]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, _: &Snapshot) -> Hint {
        let Change::Node { old, new: Some(new) } = &occurrence.change else {
            return Hint::Queue;
        };
        let matched = old.as_ref().is_some_and(|old| self.node_matches(view, old));
        if self.node_matches(view, new) && !matched {
            Hint::Queue
        } else {
            Hint::Skip
        }
    }
}
