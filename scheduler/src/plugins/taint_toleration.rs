//! TaintToleration: keeps pods off nodes with taints that they do not tolerate, and prefers nodes with fewer of the soft ones.

use std::sync::Arc;

use machinery::arith::taint::{self, Taint, TaintEffect, Toleration};
use rustc_hash::FxHashMap;

use super::normalize;
use crate::cache::{KEEPS_AWAY, RowId, Snapshot};
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, Reach, ScorePlugin};
use crate::framework::{
    Action, Change, ClusterEvent, Code, CycleState, EventResource, Hint, Occurrence, PASS, Plugin, PodView,
    Sieve,
};

pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

/// Answers for a set of taints, once for all nodes that share it.
struct PerSet<T, F> {
    answers: FxHashMap<*const Taint, T>,
    ask: F,
}

impl<T: Copy, F: Fn(&[Taint]) -> T> PerSet<T, F> {
    fn new(ask: F) -> Self {
        Self {
            answers: FxHashMap::default(),
            ask,
        }
    }

    fn of(&mut self, taints: &Arc<[Taint]>) -> T {
        // Sets are shared between rows and held by them during the call, so an address stands for its content.
        *self
            .answers
            .entry(taints.as_ptr())
            .or_insert_with(|| (self.ask)(taints))
    }
}

fn keeps_away(taints: &[Taint], tolerations: &[Toleration]) -> bool {
    taint::untolerated(taints, tolerations, &KEEPS_AWAY).is_some()
}

impl FilterPlugin for TaintToleration {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn filter(&self, view: &PodView<'_>, snapshot: &Snapshot, _: &CycleState, sieve: &mut Sieve<'_>) {
        let verdict = sieve.verdict(
            Code::UnschedulableAndUnresolvable,
            "node(s) had untolerated taint(s)",
        );
        let taints = &snapshot.rows().taints;
        let mut sets = PerSet::new(|taints: &[Taint]| keeps_away(taints, &view.shape.tolerations));
        sieve.judge(|row| {
            let taints = &taints[row.0 as usize];
            if !taints.is_empty() && sets.of(taints) {
                verdict
            } else {
                PASS
            }
        });
    }
}

impl ScorePlugin for TaintToleration {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn score(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        _: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    ) {
        let soft = [TaintEffect::PreferNoSchedule];
        let tolerations = &view.shape.tolerations;
        let mut sets = PerSet::new(|taints: &[Taint]| {
            let untolerated = |taint: &&Taint| taint::untolerated([*taint], tolerations, &soft).is_some();
            taints.iter().filter(untolerated).count() as i64
        });
        for (row, score) in rows.iter().zip(scores) {
            let taints = &snapshot.rows().taints[row.0 as usize];
            *score = if taints.is_empty() { 0 } else { sets.of(taints) };
        }
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn normalize(&self, _: &PodView<'_>, _: &CycleState, scores: &mut [i64]) {
        normalize::by_largest(scores, true);
    }
}

impl EnqueueExtensions for TaintToleration {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_TAINT)),
            ClusterEvent::new(EventResource::TargetPod, Action::POD_TOLERATION),
        ]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, _: &Snapshot) -> Hint {
        let Change::Node { old, new: Some(new) } = &occurrence.change else {
            return Hint::Queue;
        };
        let tolerations = &view.shape.tolerations;
        let was_kept_away = old
            .as_ref()
            .is_none_or(|old| keeps_away(&old.taints, tolerations));
        if was_kept_away && !keeps_away(&new.taints, tolerations) {
            Hint::Queue
        } else {
            Hint::Skip
        }
    }
}
