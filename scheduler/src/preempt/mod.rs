//! DefaultPreemption: makes room for a pod that fits nowhere by evicting pods of lower priority.
//!
//! ```text
//! rows that eviction may help -> dry runs (what if these pods were gone?) -> candidates: row + victims -> the least harm
//! ```
//!
//! A dry run takes pods out of the snapshot, asks the filters, and puts them back.

mod budget;
mod dry_run;
mod pick;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use crate::cache::{RowId, Snapshot};
use crate::framework::plugin::{EnqueueExtensions, PostFilter, PostFilterOutcome, Refit};
use crate::framework::{ClusterEvent, Diagnosis, Plugin, PodView, Verdict};

use dry_run::Candidate;

/// `DefaultPreemptionArgs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    min_candidate_nodes_percentage: usize,
    min_candidate_nodes_absolute: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            min_candidate_nodes_percentage: 10,
            min_candidate_nodes_absolute: 100,
        }
    }
}

pub struct DefaultPreemption {
    args: Args,
    /// Where the next search begins, so that not always the same nodes are looked at.
    start: AtomicUsize,
}

impl DefaultPreemption {
    pub fn new(args: Args) -> Result<Self, String> {
        if args.min_candidate_nodes_percentage > 100 {
            return Err("minCandidateNodesPercentage is not in 0 to 100".to_owned());
        }
        if args.min_candidate_nodes_percentage == 0 && args.min_candidate_nodes_absolute == 0 {
            return Err(
                "minCandidateNodesPercentage and minCandidateNodesAbsolute must not both be zero".to_owned(),
            );
        }
        Ok(Self {
            args,
            start: AtomicUsize::new(0),
        })
    }

    fn candidates_wanted(&self, rows: usize) -> usize {
        (rows * self.args.min_candidate_nodes_percentage / 100)
            .max(self.args.min_candidate_nodes_absolute)
            .min(rows)
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }
    fn as_post_filter(&self) -> Option<&dyn PostFilter> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for DefaultPreemption {
    fn events(&self) -> Vec<ClusterEvent> {
        // It turns down nothing itself.
        Vec::new()
    }
}

/// Why the pod may not preempt others now.
fn not_eligible(view: &PodView<'_>, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<&'static str> {
    if !view.shape.body.preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = snapshot
        .nominated()
        .node_of(view.pod.uid())
        .or(view.pod.nominated_node.as_ref())?;
    let row = snapshot.rows().find(node)?;
    if diagnosis.is_hopeless(row) {
        return None;
    }
    let leaving = |entry: &crate::cache::PodEntry| {
        entry.pod.priority() < view.pod.priority()
            && (snapshot.is_doomed(entry.pod.uid()) || (entry.pod.is_deleting() && entry.pod.preempted))
    };
    snapshot
        .pods_on(row)
        .any(leaving)
        .then_some("not eligible due to a terminating pod on the nominated node.")
}

impl PostFilter for DefaultPreemption {
    fn post_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        diagnosis: &Diagnosis,
        refit: &mut dyn Refit,
    ) -> PostFilterOutcome {
        if let Some(why) = not_eligible(view, snapshot, diagnosis) {
            return PostFilterOutcome::Nothing {
                message: format!("preemption: {why}"),
                clear: false,
            };
        }
        let rows: Vec<RowId> = diagnosis.resolvable().iter().collect();
        let wanted = self.candidates_wanted(rows.len());
        let start = self.start.fetch_add(wanted.max(1), Ordering::Relaxed) % rows.len().max(1);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut refused: Vec<(Verdict, RowId)> = Vec::new();
        for row in rows.iter().cycle().skip(start).take(rows.len()) {
            match dry_run::on_row(view, snapshot, *row, refit) {
                Ok(candidate) => candidates.push(candidate),
                Err(verdict) => refused.push((verdict, *row)),
            }
            let harmless = candidates.iter().any(|candidate| candidate.violations == 0);
            if harmless && candidates.len() >= wanted {
                break;
            }
        }
        match pick::least_harm(candidates) {
            Some(Candidate { row, victims, .. }) => {
                let message = format!(
                    "preemption: found a potential placement for pod on node {}, preempting {} victims",
                    snapshot.rows().name(row),
                    victims.len()
                );
                PostFilterOutcome::Nominate {
                    row,
                    victims,
                    message,
                }
            }
            None => {
                let why = Diagnosis::of_refusals(snapshot.rows().known(), refused);
                PostFilterOutcome::Nothing {
                    message: format!("preemption: {}", why.message()),
                    clear: true,
                }
            }
        }
    }
}
