//! What if pods of lower priority were gone from a row?

use std::cmp::Reverse;
use std::sync::Arc;

use super::budget::Budgets;
use crate::api::Pod;
use crate::cache::{PodEntry, RowId, Snapshot};
use crate::framework::plugin::Refit;
use crate::framework::{Code, PodView, Verdict};

/// A row on which the pod would fit without the victims.
#[derive(Debug)]
pub struct Candidate {
    pub row: RowId,
    /// The most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// By importance, the most important first: priority, then whoever runs longer.
fn importance(pod: &Pod) -> (Reverse<i32>, i64) {
    (Reverse(pod.priority()), pod.start_time.unwrap_or(i64::MAX))
}

/// Finds the least that has to go from a row, or says why nothing helps. Leaves the snapshot as it was.
pub fn on_row(
    view: &PodView<'_>,
    snapshot: &mut Snapshot,
    row: RowId,
    refit: &mut dyn Refit,
) -> Result<Candidate, Verdict> {
    let mut lower: Vec<PodEntry> = snapshot
        .pods_on(row)
        .filter(|entry| entry.pod.priority() < view.pod.priority())
        .cloned()
        .collect();
    if lower.is_empty() {
        return Err(Verdict {
            plugin: "",
            code: Code::UnschedulableAndUnresolvable,
            reasons: vec!["No preemption victims found for incoming pod".to_owned()],
        });
    }
    for entry in &lower {
        snapshot.forget(entry.pod.uid());
    }
    if let Err(verdict) = refit.refit(view, snapshot, row) {
        put_back(snapshot, &lower);
        return Err(verdict);
    }
    // As many as possible are spared: first those that a budget protects, the most important first.
    lower.sort_by_key(|entry| importance(&entry.pod));
    let mut budgets = Budgets::new(snapshot);
    let (protected, free): (Vec<PodEntry>, Vec<PodEntry>) = lower
        .into_iter()
        .partition(|entry| budgets.is_violated_by(&entry.pod));
    let mut victims: Vec<PodEntry> = Vec::new();
    let mut violations = 0;
    for (entry, is_protected) in protected
        .into_iter()
        .map(|one| (one, true))
        .chain(free.into_iter().map(|one| (one, false)))
    {
        snapshot.add_to_row(&entry.pod, row, entry.assumed);
        if refit.refit(view, snapshot, row).is_err() {
            snapshot.forget(entry.pod.uid());
            violations += usize::from(is_protected);
            victims.push(entry);
        }
    }
    put_back(snapshot, &victims);
    victims.sort_by_key(|entry| importance(&entry.pod));
    let victims: Vec<Arc<Pod>> = victims.into_iter().map(|entry| entry.pod).collect();
    if victims.is_empty() {
        // It fits as it is: something changed since it was turned down.
        let reasons = vec!["expected at least one victim pod".to_owned()];
        return Err(Verdict {
            plugin: "",
            code: Code::Unschedulable,
            reasons,
        });
    }
    Ok(Candidate {
        row,
        victims,
        violations,
    })
}

fn put_back(snapshot: &mut Snapshot, entries: &[PodEntry]) {
    for entry in entries {
        snapshot.add_to_row(&entry.pod, entry.row, entry.assumed);
    }
}
