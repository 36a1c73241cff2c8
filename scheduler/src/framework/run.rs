//! Runs a profile's plugins on one pod: from all rows to the one that the pod goes to.
//!
//! ```text
//! PreFilter -> kept verdicts (stale rows judged again) -> filters that look further -> nominated pods, what if
//!           -> PreScore -> kept scores -> scores that look further, normalized -> the best rows, one of them at random
//! ```

use smallvec::SmallVec;

use super::cycle::{CycleState, PodView};
use super::diagnosis::Diagnosis;
use super::plugin::{PreFilter, Reach};
use super::profile::Framework;
use super::reuse::{Entry, Part, Reuse, Stale};
use super::spin::Spin;
use super::status::{Code, Status};
use super::verdict::{PASS, Refusals, Sieve, Verdict, VerdictBook};
use crate::cache::{RowId, RowSet, Snapshot};

/// Upstream looks for at least this many feasible nodes, whatever the percentage.
const MIN_FEASIBLE_NODES: usize = 100;

/// A node for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub row: RowId,
    pub feasible: usize,
}

/// No node for a pod.
#[derive(Debug)]
pub enum Failure {
    /// There are no nodes at all.
    NoNodes,
    /// No node fits.
    Unfit(Box<Diagnosis>),
    /// Something unexpected happened.
    Error(Status),
}

/// What pre-filters left to do.
#[derive(Default)]
pub(super) struct Prepared {
    only: Option<RowSet>,
    restricting: Vec<&'static str>,
    pub(super) skipped: SmallVec<[usize; 16]>,
}

impl Framework {
    /// Finds the node for a pod, or says of every node why not.
    pub(crate) fn find_node(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        reuse: &mut Reuse,
        spin: &mut Spin,
    ) -> Result<Decision, Failure> {
        if snapshot.rows().known() == 0 {
            return Err(Failure::NoNodes);
        }
        let mut entry = reuse.take(view.shape);
        let mut state = CycleState {
            memo: std::mem::take(&mut entry.memo),
            ..CycleState::default()
        };
        let found = self.search(view, snapshot, &mut entry, &mut reuse.book, &mut state, spin);
        entry.memo = state.memo;
        if reuse.put(view.shape.id, entry, snapshot.rows().len()) {
            snapshot.sweep();
        }
        found
    }

    fn search(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        entry: &mut Entry,
        book: &mut VerdictBook,
        state: &mut CycleState,
        spin: &mut Spin,
    ) -> Result<Decision, Failure> {
        let candidates = self.candidates(view, snapshot, entry, book, state)?;
        // Room was made for this pod on a node: if it fits there now, it goes there.
        if let Some(row) = view
            .pod
            .nominated_node
            .as_ref()
            .and_then(|node| snapshot.rows().find(node))
            && candidates.contains(row)
        {
            return Ok(Decision { row, feasible: 1 });
        }
        let nodes = snapshot.rows().known();
        let feasible = self.sample(candidates, snapshot.rows().len(), nodes, spin);
        if let Some(row) = feasible.single() {
            return Ok(Decision { row, feasible: 1 });
        }
        let best = self
            .best(view, snapshot, entry, state, &feasible)
            .map_err(Failure::Error)?;
        let Some(row) = best.nth(spin.below(best.len())) else {
            return Err(Failure::Error(Status::error("no node has the best score")));
        };
        Ok(Decision {
            row,
            feasible: feasible.len(),
        })
    }

    /// The rows that no filter turns down.
    fn candidates(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        entry: &mut Entry,
        book: &mut VerdictBook,
        state: &mut CycleState,
    ) -> Result<RowSet, Failure> {
        let nodes = snapshot.rows().known();
        let prepared = self
            .pre_filter(view, snapshot, state)
            .map_err(|status| match status.code {
                Code::Error => Failure::Error(status),
                code => {
                    let mut diagnosis = Diagnosis {
                        nodes,
                        ..Diagnosis::default()
                    };
                    diagnosis.blame(status.plugin, code);
                    // It is said of every node: eviction may help on any of them if on one.
                    let reasons = status.reasons.to_vec();
                    let verdict = Verdict {
                        plugin: status.plugin,
                        code,
                        reasons,
                    };
                    diagnosis.verdicts.push((verdict, snapshot.rows().live().clone()));
                    diagnosis.pre_filter = Some(status);
                    Failure::Unfit(Box::new(diagnosis))
                }
            })?;
        let rest = self.refresh_verdicts(view, snapshot, entry, book, state, &prepared);
        let mut candidates = entry.passing.clone();
        if let Some(only) = &prepared.only {
            candidates.intersect(only);
        }
        let mut refusals = Refusals::default();
        for index in rest {
            let plugin = &self.filter[index];
            if let Some(filter) = plugin.as_filter()
                && !candidates.is_empty()
            {
                let mut sieve = Sieve::new(&mut candidates, &mut refusals, book, plugin.name());
                filter.filter(view, snapshot, state, &mut sieve);
            }
        }
        self.try_with_nominated(view, snapshot, book, state, &mut candidates, &mut refusals);
        if !candidates.is_empty() {
            return Ok(candidates);
        }
        let live = snapshot.rows().live();
        let looked_at = prepared
            .only
            .as_ref()
            .map_or_else(|| live.clone(), |only| live.common(only));
        let mut diagnosis = Diagnosis::collect(&looked_at, &entry.verdicts, &refusals, book);
        diagnosis.nodes = nodes;
        diagnosis.absent_nodes = nodes - looked_at.len();
        for plugin in &prepared.restricting {
            diagnosis.blame(plugin, Code::UnschedulableAndUnresolvable);
        }
        if prepared.only.is_some() {
            let plugins = prepared.restricting.join(" ");
            let message = format!("node(s) didn't satisfy plugin(s) [{plugins}]");
            diagnosis.absent = Some(Status::unresolvable(message));
        }
        Err(Failure::Unfit(Box::new(diagnosis)))
    }

    pub(super) fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<Prepared, Status> {
        let mut prepared = Prepared::default();
        let mut turned_down = None;
        for plugin in &self.pre_filter {
            let Some(pre_filter) = plugin.as_pre_filter() else {
                continue;
            };
            match pre_filter.pre_filter(view, snapshot, state) {
                Ok(PreFilter::All) => {}
                Ok(PreFilter::Skip) => {
                    if let Some(filter) = self
                        .filter
                        .iter()
                        .position(|filter| filter.name() == plugin.name())
                    {
                        prepared.skipped.push(filter);
                    }
                }
                Ok(PreFilter::Only(rows)) => {
                    prepared.restricting.push(plugin.name());
                    let only = match prepared.only.take() {
                        None => rows,
                        Some(mut only) => {
                            only.intersect(&rows);
                            only
                        }
                    };
                    // One plugin's nodes may be unknown ones: then each node has not satisfied that plugin.
                    if only.is_empty() && prepared.restricting.len() > 1 {
                        prepared.restricting.sort_unstable();
                        let plugins = prepared.restricting.join(" ");
                        let message = format!("node(s) didn't satisfy plugin(s) [{plugins}] simultaneously");
                        return Err(Status::unresolvable(message).by(plugin.name()));
                    }
                    prepared.only = Some(only);
                }
                Err(status) if status.code == Code::Unschedulable => {
                    turned_down = Some(status.by(plugin.name()))
                }
                Err(status) => return Err(status.by(plugin.name())),
            }
        }
        prepared.restricting.sort_unstable();
        turned_down.map_or(Ok(prepared), Err)
    }

    /// Judges stale rows by the filters whose answers are kept; the filters that have to be asked each time.
    fn refresh_verdicts(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        entry: &mut Entry,
        book: &mut VerdictBook,
        state: &CycleState,
        prepared: &Prepared,
    ) -> Vec<usize> {
        let mut kept: Vec<Part> = Vec::new();
        let mut rest: Vec<usize> = Vec::new();
        for (index, plugin) in self.filter.iter().enumerate() {
            let Some(filter) = plugin.as_filter() else {
                continue;
            };
            if prepared.skipped.contains(&index) {
                continue;
            }
            // What comes after a filter that is not kept is not kept either: the first to turn a row down is who did.
            match filter.reach(view, snapshot) {
                Reach::Row { epoch } if rest.is_empty() => kept.push((index, epoch)),
                _ => rest.push(index),
            }
        }
        let rows = snapshot.rows().len();
        entry.verdicts.resize(rows, PASS);
        let stale = entry.filters.renew(&kept, snapshot);
        let mut candidates = match &stale {
            Stale::Nothing => return rest,
            Stale::Everything => snapshot.rows().live().clone(),
            Stale::Rows(stale) => stale
                .iter()
                .copied()
                .filter(|row| snapshot.rows().live().contains(*row))
                .collect(),
        };
        match &stale {
            Stale::Rows(stale) => stale.iter().for_each(|row| entry.verdicts[row.0 as usize] = PASS),
            _ => entry.verdicts.fill(PASS),
        }
        let mut refusals = Refusals::default();
        for (index, _) in &kept {
            let plugin = &self.filter[*index];
            if let Some(filter) = plugin.as_filter() {
                let mut sieve = Sieve::new(&mut candidates, &mut refusals, book, plugin.name());
                filter.filter(view, snapshot, state, &mut sieve);
            }
        }
        for (verdict, rows) in refusals.iter() {
            rows.iter()
                .for_each(|row| entry.verdicts[row.0 as usize] = verdict);
        }
        match stale {
            Stale::Rows(stale) => stale
                .iter()
                .for_each(|row| entry.passing.assign(*row, candidates.contains(*row))),
            _ => entry.passing = candidates,
        }
        rest
    }

    /// The feasible rows that are scored: all, unless the profile says a percentage.
    fn sample(&self, candidates: RowSet, rows: usize, nodes: usize, spin: &mut Spin) -> RowSet {
        let Some(percentage) = self
            .percentage_of_nodes_to_score
            .filter(|percent| (1..100).contains(percent))
        else {
            return candidates;
        };
        let wanted = (nodes * percentage as usize / 100).max(MIN_FEASIBLE_NODES);
        if nodes < MIN_FEASIBLE_NODES || candidates.len() <= wanted {
            return candidates;
        }
        let all: Vec<RowId> = candidates.iter().collect();
        let start = all.partition_point(|row| (row.0 as usize) < spin.start);
        let picked = || all.iter().cycle().skip(start).take(wanted).copied();
        spin.start = picked()
            .last()
            .map_or(0, |row| (row.0 as usize + 1) % rows.max(1));
        picked().collect()
    }
}

#[cfg(test)]
impl Framework {
    /// The feasible rows and their totals, with nothing kept from before.
    pub fn feasible_and_totals(&self, view: &PodView<'_>, snapshot: &mut Snapshot) -> (Vec<RowId>, Vec<i64>) {
        let mut reuse = Reuse::default();
        let (rows, totals, best) = self.ranked(view, snapshot, &mut reuse);
        let want = super::score::most(&rows, &totals);
        assert_eq!(best.iter().collect::<Vec<_>>(), want.iter().collect::<Vec<_>>());
        (rows, totals)
    }

    /// The feasible rows, their totals, and what is chosen from, with what `reuse` keeps.
    pub(crate) fn ranked(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        reuse: &mut Reuse,
    ) -> (Vec<RowId>, Vec<i64>, RowSet) {
        let mut entry = reuse.take(view.shape);
        let mut state = CycleState {
            memo: std::mem::take(&mut entry.memo),
            ..CycleState::default()
        };
        let feasible = self
            .candidates(view, snapshot, &mut entry, &mut reuse.book, &mut state)
            .unwrap_or_default();
        let best = self
            .best(view, snapshot, &mut entry, &mut state, &feasible)
            .unwrap();
        let rows: Vec<RowId> = feasible.iter().collect();
        let scorers = self.scorers(view, snapshot, &mut state, &feasible).unwrap();
        let totals = self.totals(view, snapshot, &entry, &state, &scorers, &rows);
        entry.memo = state.memo;
        reuse.put(view.shape.id, entry, snapshot.rows().len());
        (rows, totals, best)
    }
}
