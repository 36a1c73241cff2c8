//! Required terms, the pod's own and those of pods that are there.

use super::InterPodAffinity;
use super::memo::Memo;
use crate::cache::Snapshot;
use crate::framework::plugin::{FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{Code, CycleState, PASS, PodView, Sieve, Status};

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
            let columns: Vec<_> = memo
                .affinity
                .iter()
                .map(|count| snapshot.table(count))
                .map(|table| (table, snapshot.topology(table.key)))
                .collect();
            sieve.judge(|row| {
                for (table, topology) in &columns {
                    match topology.domain(row) {
                        None => return unmatched,
                        Some(domain) if table.count(domain) <= 0 && !first => return unmatched,
                        Some(_) => {}
                    }
                }
                PASS
            });
        }
        if !memo.anti_affinity.is_empty() {
            let repelled = sieve.verdict(
                Code::Unschedulable,
                "node(s) didn't match pod anti-affinity rules",
            );
            for count in &memo.anti_affinity {
                let table = snapshot.table(count);
                let topology = snapshot.topology(table.key);
                if table.total() > 0 {
                    sieve.judge(|row| match topology.domain(row) {
                        Some(domain) if table.count(domain) > 0 => repelled,
                        _ => PASS,
                    });
                }
            }
        }
        let mut repelling = memo.repelling(snapshot).peekable();
        if repelling.peek().is_some() {
            let repelled = sieve.verdict(
                Code::Unschedulable,
                "node(s) didn't satisfy existing pods anti-affinity rules",
            );
            for carried in repelling {
                let topology = snapshot.topology(carried.key);
                let mut taken = vec![false; topology.len()];
                for (domain, _) in carried.domains() {
                    taken[domain.0 as usize] = true;
                }
                sieve.judge(|row| match topology.domain(row) {
                    Some(domain) if taken[domain.0 as usize] => repelled,
                    _ => PASS,
                });
            }
        }
    }
}
