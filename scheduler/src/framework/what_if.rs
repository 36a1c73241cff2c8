//! What if other pods were there, or gone? Asked by changing the snapshot, judging one row with nothing kept, and undoing it.

use super::cycle::{CycleState, PodView};
use super::plugin::Refit;
use super::profile::Framework;
use super::verdict::{PASS, Refusals, Sieve, Verdict, VerdictBook, VerdictId};
use crate::cache::{RowId, RowSet, Snapshot};

impl Framework {
    /// A row must also do if the pods of no lower priority that are nominated to it were there already.
    pub(super) fn try_with_nominated(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        book: &mut VerdictBook,
        state: &mut CycleState,
        candidates: &mut RowSet,
        refusals: &mut Refusals,
    ) {
        if snapshot.nominated().is_empty() {
            return;
        }
        let mut tries = Vec::new();
        for (node, pods) in snapshot.nominated().nodes() {
            let Some(row) = snapshot.rows().find(node).filter(|row| candidates.contains(*row)) else {
                continue;
            };
            let ahead = |pod: &std::sync::Arc<crate::api::Pod>| {
                pod.priority() >= view.pod.priority()
                    && pod.uid() != view.pod.uid()
                    && snapshot.pod(pod.uid()).is_none()
            };
            let pods: Vec<_> = pods.iter().filter(|pod| ahead(pod)).cloned().collect();
            if !pods.is_empty() {
                tries.push((row, pods));
            }
        }
        for (row, pods) in tries {
            for pod in &pods {
                snapshot.add_to_row(pod, row, true);
            }
            let verdict = self.judge_row(view, snapshot, book, state, row);
            for pod in &pods {
                snapshot.forget(pod.uid());
            }
            if verdict != PASS {
                candidates.remove(row);
                refusals.add(row, verdict);
            }
        }
    }

    /// The verdict on one row, with nothing kept.
    fn judge_row(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        book: &mut VerdictBook,
        outer: &mut CycleState,
        row: RowId,
    ) -> VerdictId {
        let mut state = CycleState {
            memo: std::mem::take(&mut outer.memo),
            ..CycleState::default()
        };
        let mut candidates = RowSet::of([row]);
        let mut refusals = Refusals::default();
        match self.pre_filter(view, snapshot, &mut state) {
            Err(status) => {
                let (plugin, code) = (status.plugin, status.code);
                let reasons = status.reasons.to_vec();
                let verdict = Verdict {
                    plugin,
                    code,
                    reasons,
                };
                refusals.add(row, book.intern(verdict));
            }
            Ok(prepared) => {
                for (index, plugin) in self.filter.iter().enumerate() {
                    if let Some(filter) = plugin.as_filter()
                        && !prepared.skipped.contains(&index)
                        && !candidates.is_empty()
                    {
                        let mut sieve = Sieve::new(&mut candidates, &mut refusals, book, plugin.name());
                        filter.filter(view, snapshot, &state, &mut sieve);
                    }
                }
            }
        }
        outer.memo = state.memo;
        refusals.on(row)
    }
}

/// Answers what-if questions for preemption.
pub(crate) struct Refitting<'a> {
    pub framework: &'a Framework,
    pub book: VerdictBook,
    pub state: CycleState,
}

impl Refit for Refitting<'_> {
    fn refit(&mut self, view: &PodView<'_>, snapshot: &mut Snapshot, row: RowId) -> Result<(), Verdict> {
        let framework = self.framework;
        let mut verdict = framework.judge_row(view, snapshot, &mut self.book, &mut self.state, row);
        if verdict == PASS {
            let mut candidates = RowSet::of([row]);
            let mut refusals = Refusals::default();
            framework.try_with_nominated(
                view,
                snapshot,
                &mut self.book,
                &mut self.state,
                &mut candidates,
                &mut refusals,
            );
            verdict = refusals.on(row);
        }
        self.book
            .get(verdict)
            .map_or(Ok(()), |verdict| Err(verdict.clone()))
    }
}
