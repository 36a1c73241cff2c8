//! Ranks the feasible rows: kept scores of those that did not change, others asked anew, normalized and weighed.

use smallvec::SmallVec;

use super::cycle::{CycleState, PodView};
use super::plugin::Reach;
use super::profile::Framework;
use super::reuse::{Entry, Part, Stale};
use super::spin::Spin;
use super::status::Status;
use crate::cache::{RowId, Snapshot};

impl Framework {
    /// The weighted scores of the feasible rows.
    pub(super) fn totals(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        entry: &mut Entry,
        state: &mut CycleState,
        feasible: &[RowId],
    ) -> Result<Vec<i64>, Status> {
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
        Ok(totals)
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
pub(super) fn pick(feasible: &[RowId], totals: &[i64], spin: &mut Spin) -> RowId {
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
