//! Soft constraints: the fewer matching pods a node's domains have, the better.

use std::collections::BTreeMap;

use super::PodTopologySpread;
use super::constraint::{Constraint, Constraints};
use crate::cache::{RowId, RowSet, Snapshot};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_BANDS, MAX_SCORE, PodView, Status};

/// The score of a node that lacks a key; all others are at least 0.
const UNSCORED: i64 = -1;

/// What pre-scoring found out about the feasible nodes.
struct Feasible {
    /// Those that have the keys that they must have.
    scored: RowSet,
    /// By constraint: what one pod in a domain weighs, so that constraints over few domains count as much as others.
    weights: Vec<f64>,
}

impl PreScore for PodTopologySpread {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
        feasible: &RowSet,
    ) -> Result<bool, Status> {
        self.prepare(view.shape, snapshot, state);
        let Some(constraints) = state
            .memo
            .get::<Constraints>()
            .filter(|held| !held.soft.is_empty())
        else {
            return Ok(false);
        };
        let mut scored = feasible.clone();
        if constraints.all_keys {
            for constraint in &constraints.soft {
                scored.intersect(snapshot.topology(constraint.key).labelled());
            }
        }
        let weigh = |constraint: &Constraint| {
            let domains = match constraint.is_hostname {
                true => scored.len(),
                false => domains_of(constraint, snapshot, &scored),
            };
            ((domains + 2) as f64).ln()
        };
        let weights = constraints.soft.iter().map(weigh).collect();
        state.cycle.put(Feasible { scored, weights });
        Ok(true)
    }
}

/// In how many domains the rows are; being in none counts as one.
fn domains_of(constraint: &Constraint, snapshot: &Snapshot, rows: &RowSet) -> usize {
    let topology = snapshot.topology(constraint.key);
    let mut others = rows.clone();
    others.subtract(topology.labelled());
    let domains = topology.domains().filter(|(_, members)| members.meets(rows));
    domains.count() + usize::from(!others.is_empty())
}

/// What `count` pods in its domain give a row.
fn part(constraint: &Constraint, weight: f64, count: i64) -> f64 {
    count as f64 * weight + (constraint.max_skew - 1) as f64
}

/// Rows by how many pods their domain has, where it has any; `None` if there are too many groups.
fn occupied(constraint: &Constraint, snapshot: &Snapshot) -> Option<BTreeMap<i64, RowSet>> {
    if constraint.is_hostname {
        let by_count = snapshot.counter(&constraint.count).by_count();
        let groups = || {
            by_count
                .iter()
                .map(|(count, rows)| (i64::from(*count), rows.clone()))
        };
        return (by_count.len() <= MAX_BANDS).then(|| groups().collect());
    }
    let topology = snapshot.topology(constraint.key);
    let mut by_count: BTreeMap<i64, RowSet> = BTreeMap::new();
    for (at, (domain, count)) in snapshot.table(&constraint.count).busy().enumerate() {
        if at >= MAX_BANDS {
            return None;
        }
        if let Some(members) = topology.members(domain) {
            members.join(by_count.entry(count).or_default());
        }
    }
    Some(by_count)
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
                    *sum += part(constraint, *weight, count);
                }
            }
        }
        for ((score, sum), row) in scores.iter_mut().zip(sums).zip(rows) {
            *score = if feasible.scored.contains(*row) {
                f64::round(sum) as i64
            } else {
                UNSCORED
            };
        }
    }

    fn bands(
        &self,
        _: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        feasible: &RowSet,
    ) -> Option<Vec<(i64, RowSet)>> {
        let (constraints, found) = (state.memo.get::<Constraints>()?, state.cycle.get::<Feasible>()?);
        let mut bands = vec![(0.0, found.scored.clone())];
        for (constraint, weight) in constraints.soft.iter().zip(&found.weights) {
            let labelled = snapshot.topology(constraint.key).labelled();
            let by_count = occupied(constraint, snapshot)?;
            let mut finer = Vec::new();
            for (sum, mut rows) in bands {
                let mut in_domains = rows.common(labelled);
                rows.subtract(labelled);
                finer.push((sum, rows));
                for (count, group) in &by_count {
                    let here = in_domains.common(group);
                    in_domains.subtract(group);
                    finer.push((sum + part(constraint, *weight, *count), here));
                }
                finer.push((sum + part(constraint, *weight, 0), in_domains));
            }
            finer.retain(|(_, rows)| !rows.is_empty());
            if finer.len() > MAX_BANDS {
                return None;
            }
            bands = finer;
        }
        let mut unscored = feasible.clone();
        unscored.subtract(&found.scored);
        let scored = bands
            .into_iter()
            .map(|(sum, rows)| (f64::round(sum) as i64, rows));
        Some(scored.chain([(UNSCORED, unscored)]).collect())
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn normalize(&self, _: &PodView<'_>, _: &CycleState, scores: &mut [i64]) {
        let scored = || scores.iter().copied().filter(|score| *score != UNSCORED);
        let (least, most) = (scored().min().unwrap_or(0), scored().max().unwrap_or(0));
        for score in scores {
            *score = match (*score, most) {
                (UNSCORED, _) => 0,
                (_, 0) => MAX_SCORE,
                (sum, _) => MAX_SCORE * (most + least - sum) / most,
            };
        }
    }
}
