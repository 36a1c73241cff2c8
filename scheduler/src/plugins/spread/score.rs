//! Soft constraints: the fewer matching pods a node's domains have, the better.

use super::PodTopologySpread;
use super::constraint::{Constraint, Constraints};
use crate::cache::{RowId, Snapshot};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_SCORE, PodView, Status};

/// What pre-scoring found out about the feasible nodes.
struct Feasible {
    /// Nodes that lack a key and are not scored, in the order of the feasible rows.
    ignored: Vec<bool>,
    /// By constraint: what one pod in a domain weighs, so that constraints over few domains count as much as others.
    weights: Vec<f64>,
}

impl PreScore for PodTopologySpread {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
        feasible: &[RowId],
    ) -> Result<bool, Status> {
        self.prepare(view.shape, snapshot, state);
        let Some(constraints) = state
            .memo
            .get::<Constraints>()
            .filter(|held| !held.soft.is_empty())
        else {
            return Ok(false);
        };
        let lacks_a_key = |row: &RowId| {
            let keys = constraints.soft.iter().map(|constraint| constraint.key);
            constraints.all_keys
                && keys
                    .into_iter()
                    .any(|key| snapshot.topology(key).domain(*row).is_none())
        };
        let ignored: Vec<bool> = feasible.iter().map(lacks_a_key).collect();
        let scored = || {
            feasible
                .iter()
                .zip(&ignored)
                .filter(|(_, ignored)| !**ignored)
                .map(|(row, _)| *row)
        };
        let weigh = |constraint: &Constraint| {
            let domains = match constraint.is_hostname {
                true => scored().count(),
                false => domains_of(constraint, snapshot, scored()),
            };
            ((domains + 2) as f64).ln()
        };
        let weights = constraints.soft.iter().map(weigh).collect();
        state.cycle.put(Feasible { ignored, weights });
        Ok(true)
    }
}

/// In how many domains the rows are; being in none counts as one.
fn domains_of(constraint: &Constraint, snapshot: &Snapshot, rows: impl Iterator<Item = RowId>) -> usize {
    let topology = snapshot.topology(constraint.key);
    let mut seen = vec![false; topology.len() + 1];
    for row in rows {
        seen[topology
            .domain(row)
            .map_or(topology.len(), |domain| domain.0 as usize)] = true;
    }
    seen.into_iter().filter(|seen| *seen).count()
}

impl ScorePlugin for PodTopologySpread {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Cluster
    }

    fn score(
        &self,
        _: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    ) {
        let (Some(constraints), Some(feasible)) =
            (state.memo.get::<Constraints>(), state.cycle.get::<Feasible>())
        else {
            return;
        };
        let mut sums = vec![0.0; rows.len()];
        for (constraint, weight) in constraints.soft.iter().zip(&feasible.weights) {
            let topology = snapshot.topology(constraint.key);
            let (counter, table) = (
                snapshot.counter(&constraint.count),
                snapshot.table(&constraint.count),
            );
            for (row, sum) in rows.iter().zip(&mut sums) {
                if let Some(domain) = topology.domain(*row) {
                    let count = if constraint.is_hostname {
                        i64::from(counter.on_row(*row))
                    } else {
                        table.count(domain)
                    };
                    *sum += count as f64 * weight + (constraint.max_skew - 1) as f64;
                }
            }
        }
        for ((score, sum), ignored) in scores.iter_mut().zip(sums).zip(&feasible.ignored) {
            *score = if *ignored { 0 } else { f64::round(sum) as i64 };
        }
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn normalize(&self, _: &PodView<'_>, state: &CycleState, scores: &mut [i64]) {
        let Some(feasible) = state.cycle.get::<Feasible>() else {
            return;
        };
        let scored = || {
            scores
                .iter()
                .zip(&feasible.ignored)
                .filter(|(_, ignored)| !**ignored)
                .map(|(score, _)| *score)
        };
        let (least, most) = (scored().min().unwrap_or(0), scored().max().unwrap_or(0));
        for (score, ignored) in scores.iter_mut().zip(&feasible.ignored) {
            *score = match (ignored, most) {
                (true, _) => 0,
                (false, 0) => MAX_SCORE,
                (false, _) => MAX_SCORE * (most + least - *score) / most,
            };
        }
    }
}
