//! Ranks the feasible rows: kept scores of those that did not change, others asked anew, normalized and weighed.

use smallvec::SmallVec;

use super::cycle::{CycleState, PodView};
use super::plugin::Reach;
use super::profile::Framework;
use super::reuse::{Entry, Part, Stale};
use super::status::Status;
use crate::cache::{RowId, RowSet, Snapshot};

/// The score plugins that have something to say about a pod: those whose answers are kept, and the others.
pub(super) struct Scorers {
    kept: Vec<Part>,
    rest: Vec<usize>,
}

/// Rows that one plugin gives the same.
struct Band {
    bonus: i64,
    rows: RowSet,
}

impl Framework {
    /// The feasible rows with the best total.
    pub(super) fn best(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        entry: &mut Entry,
        state: &mut CycleState,
        feasible: &RowSet,
    ) -> Result<RowSet, Status> {
        let scorers = self.scorers(view, snapshot, state, feasible)?;
        self.refresh_scores(view, snapshot, entry, state, &scorers.kept);
        if let Some(best) = self.lead(view, snapshot, entry, state, &scorers, feasible) {
            return Ok(best);
        }
        let rows: Vec<RowId> = feasible.iter().collect();
        let totals = self.totals(view, snapshot, entry, state, &scorers, &rows);
        Ok(most(&rows, &totals))
    }

    pub(super) fn scorers(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
        feasible: &RowSet,
    ) -> Result<Scorers, Status> {
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
        let mut scorers = Scorers {
            kept: Vec::new(),
            rest: Vec::new(),
        };
        for (index, (plugin, _)) in self.score.iter().enumerate() {
            if skipped.contains(&plugin.name()) {
                continue;
            }
            match plugin.as_score().map(|score| score.reach(view, snapshot)) {
                Some(Reach::Row { epoch }) => scorers.kept.push((index, epoch)),
                Some(Reach::Cluster) => scorers.rest.push(index),
                None => {}
            }
        }
        Ok(scorers)
    }

    /// The feasible rows with the best total without a look at each: if beside what is kept and needs no normalizing only one
    /// plugin tells them apart, and that by bands.
    fn lead(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        entry: &mut Entry,
        state: &CycleState,
        scorers: &Scorers,
        feasible: &RowSet,
    ) -> Option<RowSet> {
        if entry.raw.iter().any(|column| !column.is_empty()) {
            return None;
        }
        let mut apart: Option<Vec<Band>> = None;
        for index in &scorers.rest {
            let bands = self.bands(*index, view, snapshot, state, feasible)?;
            if bands.len() > 1 && apart.replace(bands).is_some() {
                return None;
            }
        }
        let fills = [entry.filters.fills(), entry.scorers.fills()];
        let leaders = &mut entry.leaders;
        leaders.catch_up(snapshot, &entry.passing, &entry.scores, fills);
        let Some(bands) = apart else {
            return Some(leaders.best(feasible, &entry.scores).1);
        };
        let mut best = (i64::MIN, RowSet::default());
        for band in bands {
            if leaders.top().is_none_or(|top| top + band.bonus < best.0) {
                break;
            }
            let (score, rows) = leaders.best(&band.rows, &entry.scores);
            let total = score + band.bonus;
            if total > best.0 {
                best = (total, rows);
            } else if total == best.0 {
                best.1.unite(&rows);
            }
        }
        Some(best.1)
    }

    /// What a plugin gives the feasible rows, the most first; none of the bands is empty.
    fn bands(
        &self,
        index: usize,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        feasible: &RowSet,
    ) -> Option<Vec<Band>> {
        let (plugin, weight) = &self.score[index];
        let score = plugin.as_score()?;
        let mut others = feasible.clone();
        let mut bands: Vec<(i64, RowSet)> = Vec::new();
        for (raw, rows) in score.bands(view, snapshot, state, feasible)? {
            if rows.meets(feasible) {
                others.subtract(&rows);
                bands.push((raw, rows.common(feasible)));
            }
        }
        if !others.is_empty() {
            bands.push((0, others));
        }
        let mut scores: Vec<i64> = bands.iter().map(|(raw, _)| *raw).collect();
        if score.normalizes() {
            score.normalize(view, state, &mut scores);
        }
        let bands = bands.into_iter().zip(scores);
        let mut bands: Vec<Band> = bands
            .map(|((_, rows), score)| Band {
                bonus: score * weight,
                rows,
            })
            .collect();
        bands.sort_by_key(|band| std::cmp::Reverse(band.bonus));
        Some(bands)
    }

    /// The weighted scores of the feasible rows.
    pub(super) fn totals(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        entry: &Entry,
        state: &CycleState,
        scorers: &Scorers,
        feasible: &[RowId],
    ) -> Vec<i64> {
        let mut totals: Vec<i64> = feasible.iter().map(|row| entry.scores[row.0 as usize]).collect();
        let mut scores: Vec<i64> = Vec::new();
        let mut raw = entry.raw.iter();
        for (index, _) in &scorers.kept {
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
        for index in &scorers.rest {
            let (plugin, weight) = &self.score[*index];
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
        totals
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

/// The rows with the most.
pub(super) fn most(rows: &[RowId], totals: &[i64]) -> RowSet {
    let most = totals.iter().max();
    let best = rows.iter().zip(totals).filter(|(_, total)| Some(*total) == most);
    best.map(|(row, _)| *row).collect()
}
