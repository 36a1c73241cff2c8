//! Required terms, the pod's own and those of pods that are there.

use super::InterPodAffinity;
use super::memo::Memo;
use crate::cache::Snapshot;
use crate::framework::plugin::{FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{Code, CycleState, PodView, Sieve, Status};

impl PreFilterPlugin for InterPodAffinity {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        Memo::prepare(view.shape, snapshot, state);
        let none = state.memo.get::<Memo>().is_none_or(|memo| {
            memo.affinity.is_empty()
                && memo.anti_affinity.is_empty()
                && memo.repelling(snapshot).next().is_none()
        });
        Ok(if none { PreFilter::Skip } else { PreFilter::All })
    }
}

impl FilterPlugin for InterPodAffinity {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Cluster
    }

    fn filter(&self, _: &PodView<'_>, snapshot: &Snapshot, state: &CycleState, sieve: &mut Sieve<'_>) {
        let Some(memo) = state.memo.get::<Memo>() else {
            return;
        };
        if !memo.affinity.is_empty() {
            let unmatched = sieve.verdict(
                Code::UnschedulableAndUnresolvable,
                "node(s) didn't match pod affinity rules",
            );
            // The first of a group that wants to be together may go anywhere that has the keys.
            let nobody = memo
                .affinity
                .iter()
                .all(|count| snapshot.table(count).total() == 0);
            let first = nobody && memo.matches_itself;
            for table in memo.affinity.iter().map(|count| snapshot.table(count)) {
                if first {
                    sieve.keep(snapshot.topology(table.key).labelled(), unmatched);
                } else {
                    sieve.keep(table.occupied(), unmatched);
                }
            }
        }
        if !memo.anti_affinity.is_empty() {
            let repelled = sieve.verdict(
                Code::Unschedulable,
                "node(s) didn't match pod anti-affinity rules",
            );
            for count in &memo.anti_affinity {
                sieve.refuse(snapshot.table(count).occupied(), repelled);
            }
        }
        let mut repelling = memo.repelling(snapshot).peekable();
        if repelling.peek().is_some() {
            let repelled = sieve.verdict(
                Code::Unschedulable,
                "node(s) didn't satisfy existing pods anti-affinity rules",
            );
            for carried in repelling {
                sieve.refuse(carried.occupied(), repelled);
            }
        }
    }
}
