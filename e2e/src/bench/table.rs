//! Samples of both sides, by case and measure, and what they must come to.

use serde::{Deserialize, Serialize};

use super::summary::Summary;
use crate::plan::choice::Origin;

/// Which way a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    Lower,
    Higher,
}

/// What a row must come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// Ours divided by upstream's: at most this where lower is better, at least this where higher is.
    Ratio(f64),
    /// Ours divided by the floor: at most this.
    Floor(f64),
    /// Ours itself: at most this.
    AtMost(f64),
}

/// Whether a row's targets are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Met,
    Missed,
    /// A side failed, so there is nothing to compare.
    Failed,
    /// It has no target.
    Untold,
}

/// One measure of one case: `100 pods at once`, `all Ready, s`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub case: String,
    pub measure: String,
    pub better: Better,
    pub targets: Vec<Target>,
    pub upstream: Vec<f64>,
    pub ours: Vec<f64>,
    /// What the same takes without the program under test.
    pub floor: Vec<f64>,
}

/// A side that did not get through a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub case: String,
    pub origin: Origin,
    pub why: String,
}

/// Everything that a benchmark found, in the order in which it was first told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    pub title: String,
    /// How it was measured: a paragraph.
    pub method: String,
    pub rows: Vec<Row>,
    pub failures: Vec<Failure>,
}

impl Row {
    pub fn samples(&self, origin: Origin) -> &[f64] {
        match origin {
            Origin::Ours => &self.ours,
            Origin::Upstream => &self.upstream,
        }
    }

    pub fn median(&self, origin: Origin) -> Option<f64> {
        Some(Summary::of(self.samples(origin))?.median)
    }

    /// Ours divided by upstream's, of the medians. Nothing divided by nothing is 1.
    pub fn ratio(&self) -> Option<f64> {
        let (ours, upstream) = (self.median(Origin::Ours)?, self.median(Origin::Upstream)?);
        if upstream.abs() < f64::EPSILON {
            return (ours.abs() < f64::EPSILON).then_some(1.0);
        }
        Some(ours / upstream)
    }

    /// Whether one target is met; `None` if a side is missing.
    pub fn meets(&self, target: Target) -> Option<bool> {
        match (target, self.better) {
            (Target::Ratio(bound), Better::Lower) => Some(self.ratio()? <= bound),
            (Target::Ratio(bound), Better::Higher) => Some(self.ratio()? >= bound),
            (Target::Floor(bound), _) => {
                Some(self.median(Origin::Ours)? <= bound * Summary::of(&self.floor)?.median)
            }
            (Target::AtMost(bound), _) => Some(self.median(Origin::Ours)? <= bound),
        }
    }

    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::Untold;
        for target in &self.targets {
            match self.meets(*target) {
                None => return Verdict::Failed,
                Some(false) => verdict = Verdict::Missed,
                Some(true) if verdict == Verdict::Untold => verdict = Verdict::Met,
                Some(true) => {}
            }
        }
        verdict
    }
}

impl Table {
    pub fn new(title: &str, method: &str) -> Self {
        Self {
            title: title.to_owned(),
            method: method.to_owned(),
            ..Self::default()
        }
    }

    /// Says what a measure is to come to, before its first sample. A failed side leaves the row there, empty.
    pub fn declare(&mut self, case: &str, measure: &str, better: Better, targets: &[Target]) {
        if self.find(case, measure).is_none() {
            self.insert(case, measure, better, targets);
        }
    }

    /// A new row, behind the others of its case; where it is.
    fn insert(&mut self, case: &str, measure: &str, better: Better, targets: &[Target]) -> usize {
        let last = self.rows.iter().rposition(|row| row.case == case);
        let index = last.map_or(self.rows.len(), |last| last + 1);
        let row = Row {
            case: case.to_owned(),
            measure: measure.to_owned(),
            better,
            targets: targets.to_vec(),
            upstream: Vec::new(),
            ours: Vec::new(),
            floor: Vec::new(),
        };
        self.rows.insert(index, row);
        index
    }

    /// A sample; a measure that nobody declared is the better the lower, and has no target.
    pub fn add(&mut self, case: &str, measure: &str, origin: Origin, value: f64) {
        let row = self.row(case, measure);
        match origin {
            Origin::Ours => row.ours.push(value),
            Origin::Upstream => row.upstream.push(value),
        }
    }

    pub fn floor(&mut self, case: &str, measure: &str, value: f64) {
        self.row(case, measure).floor.push(value);
    }

    pub fn fail(&mut self, case: &str, origin: Origin, why: &str) {
        self.failures.push(Failure {
            case: case.to_owned(),
            origin,
            why: why.to_owned(),
        });
    }

    /// Rows whose targets are met, and rows that have any.
    pub fn score(&self) -> (usize, usize) {
        let count =
            |wanted: &dyn Fn(Verdict) -> bool| self.rows.iter().filter(|row| wanted(row.verdict())).count();
        (
            count(&|verdict| verdict == Verdict::Met),
            count(&|verdict| verdict != Verdict::Untold),
        )
    }

    fn find(&self, case: &str, measure: &str) -> Option<usize> {
        self.rows
            .iter()
            .position(|row| row.case == case && row.measure == measure)
    }

    fn row(&mut self, case: &str, measure: &str) -> &mut Row {
        let index = self
            .find(case, measure)
            .unwrap_or_else(|| self.insert(case, measure, Better::Lower, &[]));
        &mut self.rows[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better, target: Target, upstream: &[f64], ours: &[f64], floor: &[f64]) -> Verdict {
        let mut table = Table::default();
        table.declare("case", "measure", better, &[target]);
        for value in upstream {
            table.add("case", "measure", Origin::Upstream, *value);
        }
        for value in ours {
            table.add("case", "measure", Origin::Ours, *value);
        }
        for value in floor {
            table.floor("case", "measure", *value);
        }
        table.rows[0].verdict()
    }

    #[test]
    fn a_target_is_judged_by_the_medians() {
        use Better::{Higher, Lower};
        use Target::{AtMost, Floor, Ratio};
        use Verdict::{Failed, Met, Missed};
        for (better, target, upstream, ours, floor, verdict) in [
            (
                Lower,
                Ratio(0.5),
                &[10.0, 12.0, 90.0][..],
                &[6.0][..],
                &[][..],
                Met,
            ),
            (Lower, Ratio(0.5), &[10.0], &[6.0], &[], Missed),
            (Higher, Ratio(1.8), &[100.0], &[190.0], &[], Met),
            (Higher, Ratio(1.8), &[100.0], &[170.0], &[], Missed),
            (Lower, Floor(1.15), &[], &[1.1], &[1.0], Met),
            (Lower, Floor(1.15), &[], &[1.2], &[1.0], Missed),
            (Lower, AtMost(0.0), &[3.0], &[0.0], &[], Met),
            (Lower, AtMost(0.0), &[0.0], &[1.0], &[], Missed),
            (Lower, Ratio(0.5), &[], &[6.0], &[], Failed),
            (Lower, Floor(1.15), &[1.0], &[1.0], &[], Failed),
        ] {
            assert_eq!(
                row(better, target, upstream, ours, floor),
                verdict,
                "{target:?} {ours:?}"
            );
        }
    }

    #[test]
    fn rows_of_a_case_stay_together() {
        let mut table = Table::default();
        for (case, measure) in [
            ("a", "s"),
            ("b", "s"),
            ("a", "CPU, s"),
            ("a", "s"),
            ("b", "CPU, s"),
        ] {
            table.add(case, measure, Origin::Ours, 1.0);
        }
        let rows: Vec<&str> = table.rows.iter().map(|row| row.case.as_str()).collect();
        assert_eq!(rows, ["a", "a", "b", "b"]);
    }

    #[test]
    fn nothing_against_nothing_is_even() {
        let mut table = Table::default();
        table.add("kill", "restarts", Origin::Upstream, 0.0);
        table.add("kill", "restarts", Origin::Ours, 0.0);
        assert_eq!(table.rows[0].ratio(), Some(1.0));
        table.add("kill", "restarts", Origin::Ours, 2.0);
        table.add("kill", "restarts", Origin::Ours, 2.0);
        assert_eq!(table.rows[0].ratio(), None);
        assert_eq!(table.rows[0].verdict(), Verdict::Untold);
        assert_eq!(table.score(), (0, 0));
    }

    #[test]
    fn a_row_with_two_targets_must_meet_both() {
        let mut table = Table::default();
        let targets = [Target::Ratio(0.7), Target::Floor(1.15)];
        table.declare("one pod", "s", Better::Lower, &targets);
        table.add("one pod", "s", Origin::Upstream, 1.0);
        table.add("one pod", "s", Origin::Ours, 0.6);
        table.floor("one pod", "s", 0.4);
        assert_eq!(table.rows[0].verdict(), Verdict::Missed);
        assert_eq!(table.score(), (0, 1));
    }
}
