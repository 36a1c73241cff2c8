//! Preferred terms, the pod's own and those of pods that are there; their required affinity counts a little too.

use std::collections::BTreeMap;

use super::InterPodAffinity;
use super::memo::Memo;
use crate::cache::carried::Pull;
use crate::cache::{DomainId, RowId, RowSet, Snapshot, TopologyId};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_BANDS, MAX_SCORE, PodView, Status};

/// Scores of the domains of one key.
struct Sums<'a> {
    snapshot: &'a Snapshot,
    feasible: &'a RowSet,
    key: Option<TopologyId>,
    domains: BTreeMap<DomainId, i64>,
}

impl Sums<'_> {
    /// Adds what the pods in some domains of a key count for; `None` for another key, or too many domains.
    fn add(
        &mut self,
        key: TopologyId,
        weight: i64,
        counts: impl Iterator<Item = (DomainId, i64)>,
    ) -> Option<()> {
        if *self.key.get_or_insert(key) != key {
            return None;
        }
        let topology = self.snapshot.topology(key);
        for (domain, count) in counts {
            let members = topology.members(domain);
            if members.is_some_and(|members| members.meets(self.feasible)) {
                *self.domains.entry(domain).or_insert(0) += weight * count;
                if self.domains.len() > MAX_BANDS {
                    return None;
                }
            }
        }
        Some(())
    }

    fn bands(self) -> Vec<(i64, RowSet)> {
        let mut bands: BTreeMap<i64, RowSet> = BTreeMap::new();
        for (domain, score) in self.domains {
            let topology = self.key.map(|key| self.snapshot.topology(key));
            if let Some(members) = topology.and_then(|topology| topology.members(domain)) {
                members.join(bands.entry(score).or_default());
            }
        }
        bands.into_iter().collect()
    }
}

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
        _: &RowSet,
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

    fn bands(
        &self,
        _: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        feasible: &RowSet,
    ) -> Option<Vec<(i64, RowSet)>> {
        let memo = state.memo.get::<Memo>()?;
        let mut sums = Sums {
            snapshot,
            feasible,
            key: None,
            domains: BTreeMap::new(),
        };
        for (weight, count) in &memo.preferred {
            let table = snapshot.table(count);
            sums.add(table.key, *weight, table.busy())?;
        }
        for carried in memo.about(snapshot) {
            let weight = self.weight(carried.pull);
            if weight != 0 {
                sums.add(carried.key, weight, carried.domains())?;
            }
        }
        Some(sums.bands())
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
