//! Hard constraints: no node whose domain would get too far ahead of the least one.

use super::PodTopologySpread;
use super::constraint::Constraints;
use crate::cache::{RowSet, Snapshot};
use crate::framework::plugin::{FilterPlugin, PreFilter, PreFilterPlugin, Reach};
use crate::framework::{Code, CycleState, PodView, Sieve, Status};

impl PreFilterPlugin for PodTopologySpread {
    fn pre_filter(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<PreFilter, Status> {
        self.prepare(view.shape, snapshot, state);
        let none = state
            .memo
            .get::<Constraints>()
            .is_none_or(|held| held.hard.is_empty());
        Ok(if none { PreFilter::Skip } else { PreFilter::All })
    }
}

impl FilterPlugin for PodTopologySpread {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Cluster
    }

    fn filter(&self, _: &PodView<'_>, snapshot: &Snapshot, state: &CycleState, sieve: &mut Sieve<'_>) {
        let Some(constraints) = state.memo.get::<Constraints>() else {
            return;
        };
        let skewed = sieve.verdict(
            Code::Unschedulable,
            "node(s) didn't match pod topology spread constraints",
        );
        let unlabelled = sieve.verdict(
            Code::UnschedulableAndUnresolvable,
            "node(s) didn't match pod topology spread constraints (missing required label)",
        );
        for constraint in &constraints.hard {
            let topology = snapshot.topology(constraint.key);
            let table = snapshot.table(&constraint.count);
            // Fewer domains than wanted: as if there were an empty one more.
            let enough = table.domains() as i64 >= constraint.min_domains;
            let least = table.min().filter(|_| enough).unwrap_or(0);
            let most = constraint.max_skew + least - i64::from(constraint.matches_itself);
            sieve.keep(topology.labelled(), unlabelled);
            let mut ahead = RowSet::default();
            for (domain, members) in topology.domains() {
                if table.count(domain) > most {
                    members.join(&mut ahead);
                }
            }
            sieve.refuse(&ahead, skewed);
        }
    }
}
