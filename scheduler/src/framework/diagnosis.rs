//! Why a pod fits nowhere, and how that is said.

use std::collections::BTreeMap;
use std::fmt::Write;

use smallvec::SmallVec;

use super::status::{Code, Status};
use super::verdict::{PASS, Refusals, Verdict, VerdictBook, VerdictId};
use crate::cache::{RowId, RowSet};

/// The verdict on every node.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// Rows and what was said of them, by verdict.
    pub verdicts: Vec<(Verdict, RowSet)>,
    /// The verdict on nodes that were not looked at.
    pub absent: Option<Status>,
    /// How many nodes were not looked at.
    pub absent_nodes: usize,
    /// What a pre-filter said of all nodes at once.
    pub pre_filter: Option<Status>,
    /// What the post-filter plugins said.
    pub post_filter: String,
    /// The plugins that turned the pod down.
    pub plugins: SmallVec<[&'static str; 2]>,
    /// The plugins for which the pod waits.
    pub pending: SmallVec<[&'static str; 1]>,
}

impl Diagnosis {
    /// One node that a later point turned down.
    pub fn of_row(row: RowId, status: &Status) -> Self {
        let verdict = Verdict {
            plugin: status.plugin,
            code: status.code,
            reasons: status.reasons.to_vec(),
        };
        let mut diagnosis = Self {
            nodes: 1,
            verdicts: vec![(verdict, RowSet::of([row]))],
            ..Self::default()
        };
        diagnosis.blame(status.plugin, status.code);
        diagnosis
    }

    /// Collects the verdicts on the rows of `all`: the kept ones by row, and this pod's own on rows that passed those.
    pub(crate) fn collect(all: &RowSet, kept: &[VerdictId], own: &Refusals, book: &VerdictBook) -> Self {
        let mut by_verdict: BTreeMap<VerdictId, RowSet> = BTreeMap::new();
        for row in all.iter() {
            let verdict = kept.get(row.0 as usize).copied().unwrap_or(PASS);
            if verdict != PASS {
                by_verdict.entry(verdict).or_default().insert(row);
            }
        }
        for (verdict, rows) in own.iter().filter(|(_, rows)| rows.meets(all)) {
            by_verdict.entry(verdict).or_default().unite(&rows.common(all));
        }
        let mut diagnosis = Self {
            nodes: all.len(),
            ..Self::default()
        };
        for (id, rows) in by_verdict {
            if let Some(verdict) = book.get(id) {
                diagnosis.blame(verdict.plugin, verdict.code);
                diagnosis.verdicts.push((verdict.clone(), rows));
            }
        }
        diagnosis
    }

    /// Verdicts on some rows; nodes without one were not worth a try.
    pub fn of_refusals(nodes: usize, refused: Vec<(Verdict, RowId)>) -> Self {
        let absent = Some(Status::unresolvable("Preemption is not helpful for scheduling"));
        let absent_nodes = nodes.saturating_sub(refused.len());
        let mut diagnosis = Self {
            nodes,
            absent,
            absent_nodes,
            ..Self::default()
        };
        for (verdict, row) in refused {
            match diagnosis.verdicts.iter_mut().find(|(held, _)| *held == verdict) {
                Some((_, rows)) => rows.insert(row),
                None => diagnosis.verdicts.push((verdict, RowSet::of([row]))),
            }
        }
        diagnosis
    }

    /// Whether evicting pods would not help on this row.
    pub fn is_hopeless(&self, row: RowId) -> bool {
        let by_verdict = |(verdict, rows): &(Verdict, RowSet)| {
            verdict.code == Code::UnschedulableAndUnresolvable && rows.contains(row)
        };
        self.verdicts.iter().any(by_verdict)
    }

    /// Notes that a plugin turned the pod down.
    pub fn blame(&mut self, plugin: &'static str, code: Code) {
        if plugin.is_empty() || code == Code::Error {
            return;
        }
        if !self.plugins.contains(&plugin) {
            self.plugins.push(plugin);
        }
        if code == Code::Pending && !self.pending.contains(&plugin) {
            self.pending.push(plugin);
        }
    }

    /// Rows where evicting pods might help.
    pub fn resolvable(&self) -> RowSet {
        let mut rows = RowSet::default();
        for (verdict, turned_down) in &self.verdicts {
            if verdict.code == Code::Unschedulable {
                turned_down.iter().for_each(|row| rows.insert(row));
            }
        }
        rows
    }

    /// The message of the pod's condition: `0/5 nodes are available: 3 Insufficient cpu, 2 ....`
    pub fn message(&self) -> String {
        let mut text = format!("0/{} nodes are available:", self.nodes);
        if let Some(status) = &self.pre_filter {
            let _ = write!(text, " {}.", status.message());
        } else {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for (verdict, rows) in &self.verdicts {
                for reason in &verdict.reasons {
                    *reasons.entry(reason).or_default() += rows.len();
                }
            }
            if self.absent_nodes > 0 {
                for reason in self.absent.iter().flat_map(|status| &status.reasons) {
                    *reasons.entry(reason).or_default() += self.absent_nodes;
                }
            }
            // Sorted as texts, counts first, as upstream sorts them.
            let mut parts: Vec<String> = reasons
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            parts.sort();
            if !parts.is_empty() {
                let _ = write!(text, " {}.", parts.join(", "));
            }
        }
        if !self.post_filter.is_empty() {
            let _ = write!(text, " {}", self.post_filter);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reasons: &[&str], rows: &[u32]) -> (Verdict, RowSet) {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        (
            Verdict {
                plugin: "P",
                code: Code::Unschedulable,
                reasons,
            },
            rows.iter().copied().map(RowId).collect(),
        )
    }

    #[test]
    fn the_message_is_a_histogram_of_reasons() {
        let diagnosis = Diagnosis {
            nodes: 12,
            verdicts: vec![
                verdict(&["Insufficient cpu"], &[0, 1]),
                verdict(&["Insufficient cpu", "Too many pods"], &[2]),
                verdict(
                    &["node(s) were unschedulable"],
                    &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                ),
            ],
            post_filter: "preemption: nothing helps.".into(),
            ..Diagnosis::default()
        };
        assert_eq!(
            diagnosis.message(),
            "0/12 nodes are available: 1 Too many pods, 10 node(s) were unschedulable, 3 Insufficient cpu. preemption: nothing helps."
        );
    }

    #[test]
    fn a_pre_filter_speaks_for_all_nodes() {
        let diagnosis = Diagnosis {
            nodes: 3,
            pre_filter: Some(Status::unresolvable("no claim")),
            ..Diagnosis::default()
        };
        assert_eq!(diagnosis.message(), "0/3 nodes are available: no claim.");
    }

    #[test]
    fn nodes_that_were_not_looked_at_have_their_own_reason() {
        let diagnosis = Diagnosis {
            nodes: 3,
            verdicts: vec![verdict(&["Insufficient cpu"], &[1])],
            absent: Some(Status::unresolvable(
                "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            )),
            absent_nodes: 2,
            ..Diagnosis::default()
        };
        assert_eq!(
            diagnosis.message(),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
        );
    }
}
