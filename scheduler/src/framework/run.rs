//! Runs a profile's plugins on one pod: from all rows to the one that the pod goes to.
//!
//! ```text
//! PreFilter -> kept verdicts (stale rows judged again) -> filters that look further -> nominated pods, what if
//!           -> PreScore -> kept scores -> scores that look further, normalized -> the best row, ties broken at random
//! ```

use smallvec::SmallVec;

use super::cycle::{CycleState, PodView};
use super::diagnosis::Diagnosis;
use super::plugin::{PreFilter, Reach, Refit};
use super::profile::Framework;
use super::reuse::{Entry, Part, Reuse, Stale};
use super::status::{Code, Status};
use super::verdict::{PASS, Sieve, VerdictBook, VerdictId};
use crate::cache::{RowId, RowSet, Snapshot};

/// Upstream looks for at least this many feasible nodes, whatever the percentage.
const MIN_FEASIBLE_NODES: usize = 100;

/// A node for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub row: RowId,
    pub evaluated: usize,
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

/// The numbers that runs are varied by.
#[derive(Clone, Debug)]
pub struct Spin {
    state: u64,
    /// Where the search for feasible nodes goes on when it does not look at all of them.
    start: usize,
}

impl Spin {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            start: 0,
        }
    }

    /// A number below `bound`, by xorshift64*.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(random) * bound as u128) >> 64) as usize
    }
}

/// What pre-filters left to do.
#[derive(Default)]
struct Prepared {
    only: Option<RowSet>,
    restricting: Vec<&'static str>,
    skipped: SmallVec<[usize; 16]>,
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
        if snapshot.rows().live().is_empty() {
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
        let nodes = snapshot.rows().live().len();
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
                    diagnosis.pre_filter = Some(status);
                    Failure::Unfit(Box::new(diagnosis))
                }
            })?;
        let rest = self.refresh_verdicts(view, snapshot, entry, book, state, &prepared);
        let mut candidates = RowSet::default();
        candidates.copy_from(&entry.passing);
        let looked_at = match &prepared.only {
            Some(only) => {
                candidates.intersect(only);
                let mut looked_at = snapshot.rows().live().clone();
                looked_at.intersect(only);
                looked_at
            }
            None => snapshot.rows().live().clone(),
        };
        let mut verdicts = Verdicts {
            kept: &entry.verdicts,
            own: None,
        };
        for filter in rest {
            if candidates.is_empty() {
                break;
            }
            let plugin = &self.filter[filter];
            if let Some(filter) = plugin.as_filter() {
                filter.filter(
                    view,
                    snapshot,
                    state,
                    &mut Sieve::new(&mut candidates, verdicts.own(), book, plugin.name()),
                );
            }
        }
        self.try_with_nominated(view, snapshot, book, state, &mut candidates, &mut verdicts);
        if candidates.is_empty() {
            let mut diagnosis = Diagnosis::collect(&looked_at, verdicts.all(), book);
            diagnosis.nodes = nodes;
            diagnosis.absent_nodes = nodes - looked_at.len();
            for plugin in &prepared.restricting {
                diagnosis.blame(plugin, Code::UnschedulableAndUnresolvable);
            }
            if prepared.only.is_some() {
                let plugins = prepared.restricting.join(" ");
                diagnosis.absent = Some(Status::unresolvable(format!(
                    "node(s) didn't satisfy plugin(s) [{plugins}]"
                )));
            }
            return Err(Failure::Unfit(Box::new(diagnosis)));
        }
        // Room was made for this pod on a node: if it fits there now, it goes there.
        if let Some(row) = view
            .pod
            .nominated_node
            .as_ref()
            .and_then(|node| snapshot.rows().find(node))
            && candidates.contains(row)
        {
            return Ok(Decision {
                row,
                evaluated: 1,
                feasible: 1,
            });
        }
        let evaluated = looked_at.len();
        let feasible = self.sample(&candidates, snapshot.rows().len(), nodes, spin);
        if let [row] = feasible[..] {
            return Ok(Decision {
                row,
                evaluated,
                feasible: 1,
            });
        }
        let row = self
            .best(view, snapshot, entry, state, &feasible, spin)
            .map_err(Failure::Error)?;
        Ok(Decision {
            row,
            evaluated,
            feasible: feasible.len(),
        })
    }

    fn pre_filter(
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
        for (index, _) in &kept {
            let plugin = &self.filter[*index];
            if let Some(filter) = plugin.as_filter() {
                let mut sieve = Sieve::new(&mut candidates, &mut entry.verdicts, book, plugin.name());
                filter.filter(view, snapshot, state, &mut sieve);
            }
        }
        match stale {
            Stale::Rows(stale) => stale
                .iter()
                .for_each(|row| entry.passing.assign(*row, candidates.contains(*row))),
            _ => entry.passing = candidates,
        }
        rest
    }

    /// A row must also do if the pods of no lower priority that are nominated to it were there already.
    fn try_with_nominated(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        book: &mut VerdictBook,
        state: &mut CycleState,
        candidates: &mut RowSet,
        verdicts: &mut Verdicts<'_>,
    ) {
        if snapshot.nominated().is_empty() {
            return;
        }
        let mut tries = Vec::new();
        for (node, pods) in snapshot.nominated().nodes() {
            let Some(row) = snapshot.rows().find(node).filter(|row| candidates.contains(*row)) else {
                continue;
            };
            let ahead = |pod: &std::sync::Arc<crate::api::Pod>| {
                pod.priority() >= view.pod.priority()
                    && pod.uid() != view.pod.uid()
                    && snapshot.pod(pod.uid()).is_none()
            };
            let pods: Vec<_> = pods.iter().filter(|pod| ahead(pod)).cloned().collect();
            if !pods.is_empty() {
                tries.push((row, pods));
            }
        }
        for (row, pods) in tries {
            for pod in &pods {
                snapshot.add_to_row(pod, row, true);
            }
            let verdict = self.judge_row(view, snapshot, book, state, row);
            for pod in &pods {
                snapshot.forget(pod.uid());
            }
            if verdict != PASS {
                candidates.remove(row);
                verdicts.own()[row.0 as usize] = verdict;
            }
        }
    }

    /// The verdict on one row, with nothing kept.
    fn judge_row(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        book: &mut VerdictBook,
        outer: &mut CycleState,
        row: RowId,
    ) -> VerdictId {
        let mut state = CycleState {
            memo: std::mem::take(&mut outer.memo),
            ..CycleState::default()
        };
        let mut candidates = RowSet::of([row]);
        let mut verdicts = vec![PASS; snapshot.rows().len()];
        match self.pre_filter(view, snapshot, &mut state) {
            Err(status) => {
                let (plugin, code) = (status.plugin, status.code);
                let reasons = status.reasons.to_vec();
                verdicts[row.0 as usize] = book.intern(super::verdict::Verdict {
                    plugin,
                    code,
                    reasons,
                });
            }
            Ok(prepared) => {
                for (index, plugin) in self.filter.iter().enumerate() {
                    if let Some(filter) = plugin.as_filter()
                        && !prepared.skipped.contains(&index)
                        && !candidates.is_empty()
                    {
                        let mut sieve = Sieve::new(&mut candidates, &mut verdicts, book, plugin.name());
                        filter.filter(view, snapshot, &state, &mut sieve);
                    }
                }
            }
        }
        outer.memo = state.memo;
        verdicts[row.0 as usize]
    }

    /// The feasible rows that are scored: all, unless the profile says a percentage.
    fn sample(&self, candidates: &RowSet, rows: usize, nodes: usize, spin: &mut Spin) -> Vec<RowId> {
        let all: Vec<RowId> = candidates.iter().collect();
        let Some(percentage) = self
            .percentage_of_nodes_to_score
            .filter(|percent| (1..100).contains(percent))
        else {
            return all;
        };
        let wanted = (nodes * percentage as usize / 100).max(MIN_FEASIBLE_NODES);
        if nodes < MIN_FEASIBLE_NODES || all.len() <= wanted {
            return all;
        }
        let start = all.partition_point(|row| (row.0 as usize) < spin.start);
        let picked: Vec<RowId> = all.iter().cycle().skip(start).take(wanted).copied().collect();
        spin.start = picked.last().map_or(0, |row| (row.0 as usize + 1) % rows.max(1));
        picked
    }

    fn best(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        entry: &mut Entry,
        state: &mut CycleState,
        feasible: &[RowId],
        spin: &mut Spin,
    ) -> Result<RowId, Status> {
        let mut skipped: SmallVec<[&'static str; 8]> = SmallVec::new();
        for plugin in &self.pre_score {
            if let Some(pre_score) = plugin.as_pre_score()
                && !pre_score
                    .pre_score(view, snapshot, state, feasible)
                    .map_err(|status| status.by(plugin.name()))?
            {
                skipped.push(plugin.name());
            }
        }
        let mut kept: Vec<Part> = Vec::new();
        let mut rest: Vec<usize> = Vec::new();
        for (index, (plugin, _)) in self.score.iter().enumerate() {
            if skipped.contains(&plugin.name()) {
                continue;
            }
            match plugin.as_score().map(|score| score.reach(view, snapshot)) {
                Some(Reach::Row { epoch }) => kept.push((index, epoch)),
                Some(Reach::Cluster) => rest.push(index),
                None => {}
            }
        }
        self.refresh_scores(view, snapshot, entry, state, &kept);
        let mut totals: Vec<i64> = feasible.iter().map(|row| entry.scores[row.0 as usize]).collect();
        let mut scores: Vec<i64> = Vec::new();
        let mut raw = entry.raw.iter();
        for (index, _) in &kept {
            let (plugin, weight) = &self.score[*index];
            let Some(score) = plugin.as_score().filter(|score| score.normalizes()) else {
                continue;
            };
            let Some(column) = raw.next() else { break };
            scores.clear();
            if column.is_empty() {
                scores.resize(feasible.len(), 0);
            } else {
                scores.extend(feasible.iter().map(|row| column[row.0 as usize]));
            }
            score.normalize(view, state, &mut scores);
            totals
                .iter_mut()
                .zip(&scores)
                .for_each(|(total, score)| *total += score * weight);
        }
        for index in rest {
            let (plugin, weight) = &self.score[index];
            let Some(score) = plugin.as_score() else { continue };
            scores.clear();
            scores.resize(feasible.len(), 0);
            score.score(view, snapshot, state, feasible, &mut scores);
            if score.normalizes() {
                score.normalize(view, state, &mut scores);
            }
            totals
                .iter_mut()
                .zip(&scores)
                .for_each(|(total, score)| *total += score * weight);
        }
        Ok(pick(feasible, &totals, spin))
    }

    fn refresh_scores(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        entry: &mut Entry,
        state: &CycleState,
        kept: &[Part],
    ) {
        let rows = snapshot.rows().len();
        entry.scores.resize(rows, 0);
        let stale: Vec<RowId> = match entry.scorers.renew(kept, snapshot) {
            Stale::Nothing => return,
            Stale::Rows(rows) => rows,
            Stale::Everything => {
                entry.raw.clear();
                entry.raw.resize(kept.len(), Vec::new());
                snapshot.rows().live().iter().collect()
            }
        };
        stale.iter().for_each(|row| entry.scores[row.0 as usize] = 0);
        let mut scores = vec![0; stale.len()];
        let mut raw = entry.raw.iter_mut();
        for (index, _) in kept {
            let (plugin, weight) = &self.score[*index];
            let Some(score) = plugin.as_score() else { continue };
            scores.fill(0);
            score.score(view, snapshot, state, &stale, &mut scores);
            if !score.normalizes() {
                stale
                    .iter()
                    .zip(&scores)
                    .for_each(|(row, score)| entry.scores[row.0 as usize] += score * weight);
                continue;
            }
            let Some(column) = raw.next() else { break };
            if column.is_empty() && scores.iter().all(|score| *score == 0) {
                continue;
            }
            column.resize(rows, 0);
            stale
                .iter()
                .zip(&scores)
                .for_each(|(row, score)| column[row.0 as usize] = *score);
        }
    }
}

/// A row with the best total, each of them equally likely.
fn pick(feasible: &[RowId], totals: &[i64], spin: &mut Spin) -> RowId {
    let best = totals.iter().copied().max().unwrap_or(0);
    let ties = totals.iter().filter(|total| **total == best).count();
    let chosen = spin.below(ties.max(1));
    let at = totals
        .iter()
        .enumerate()
        .filter(|(_, total)| **total == best)
        .nth(chosen)
        .map_or(0, |(at, _)| at);
    feasible[at]
}

/// Verdicts by row: the kept ones, copied when the first of this cycle's own is written.
struct Verdicts<'a> {
    kept: &'a [VerdictId],
    own: Option<Vec<VerdictId>>,
}

impl Verdicts<'_> {
    fn own(&mut self) -> &mut [VerdictId] {
        self.own.get_or_insert_with(|| self.kept.to_vec())
    }

    fn all(&self) -> &[VerdictId] {
        self.own.as_deref().unwrap_or(self.kept)
    }
}

/// Answers what-if questions for preemption.
pub(crate) struct Refitting<'a> {
    pub framework: &'a Framework,
    pub book: VerdictBook,
    pub state: CycleState,
}

impl Refit for Refitting<'_> {
    fn fits(&mut self, view: &PodView<'_>, snapshot: &mut Snapshot, row: RowId) -> bool {
        let framework = self.framework;
        if framework.judge_row(view, snapshot, &mut self.book, &mut self.state, row) != PASS {
            return false;
        }
        let mut candidates = RowSet::of([row]);
        let empty = vec![PASS; snapshot.rows().len()];
        let mut verdicts = Verdicts {
            kept: &empty,
            own: None,
        };
        framework.try_with_nominated(
            view,
            snapshot,
            &mut self.book,
            &mut self.state,
            &mut candidates,
            &mut verdicts,
        );
        !candidates.is_empty()
    }
}
