//! Preferred terms, the pod's own and those of pods that are there; their required affinity counts a little too.

use super::InterPodAffinity;
use super::memo::Memo;
use crate::cache::carried::Pull;
use crate::cache::{RowId, Snapshot};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_SCORE, PodView, Status};

impl InterPodAffinity {
    fn weight(&self, pull: Pull) -> i64 {
        match pull {
            Pull::Repels => 0,
            Pull::Requires => self.args.hard_pod_affinity_weight,
            Pull::Prefers(weight) => i64::from(weight),
        }
    }
}

impl PreScore for InterPodAffinity {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
        _: &[RowId],
    ) -> Result<bool, Status> {
        let own = !view.shape.preferred.is_empty();
        if self.args.ignore_preferred_terms_of_existing_pods && !own {
            return Ok(false);
        }
        Memo::prepare(view.shape, snapshot, state);
        let Some(memo) = state.memo.get::<Memo>() else {
            return Ok(false);
        };
        let counts = memo
            .preferred
            .iter()
            .any(|(_, count)| snapshot.table(count).total() > 0);
        let pulled = || memo.about(snapshot).any(|carried| self.weight(carried.pull) != 0);
        Ok(counts || pulled())
    }
}

impl ScorePlugin for InterPodAffinity {
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
        let Some(memo) = state.memo.get::<Memo>() else {
            return;
        };
        for (weight, count) in &memo.preferred {
            let table = snapshot.table(count);
            if table.total() == 0 {
                continue;
            }
            let topology = snapshot.topology(table.key);
            for (row, score) in rows.iter().zip(scores.iter_mut()) {
                if let Some(domain) = topology.domain(*row) {
                    *score += weight * table.count(domain);
                }
            }
        }
        for carried in memo.about(snapshot) {
            let weight = self.weight(carried.pull);
            if weight == 0 {
                continue;
            }
            let topology = snapshot.topology(carried.key);
            let mut pull = vec![0; topology.len()];
            for (domain, carriers) in carried.domains() {
                pull[domain.0 as usize] = weight * carriers;
            }
            for (row, score) in rows.iter().zip(scores.iter_mut()) {
                if let Some(domain) = topology.domain(*row) {
                    *score += pull[domain.0 as usize];
                }
            }
        }
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn normalize(&self, _: &PodView<'_>, _: &CycleState, scores: &mut [i64]) {
        let (least, most) = (
            scores.iter().copied().min().unwrap_or(0),
            scores.iter().copied().max().unwrap_or(0),
        );
        for score in scores {
            *score = if most > least {
                (MAX_SCORE as f64 * ((*score - least) as f64 / (most - least) as f64)) as i64
            } else {
                0
            };
        }
    }
}
