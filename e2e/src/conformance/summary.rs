//! A run in figures: what a person reads when it is over.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::record::{Outcome, Record};

/// Counts of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) flakes: usize,
}

impl Tally {
    pub(super) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut tally = Self::default();
        for record in records {
            match record.state {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed => tally.failed += 1,
                Outcome::Skipped => tally.skipped += 1,
            }
            tally.flakes += usize::from(record.is_flake());
        }
        tally
    }

    pub(super) fn all(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

/// Tallies by group.
pub(super) fn by_sig(records: &[Record]) -> BTreeMap<&str, Tally> {
    let mut groups: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        groups.entry(&record.sig).or_default().push(record);
    }
    groups
        .into_iter()
        .map(|(sig, records)| (sig, Tally::of(records)))
        .collect()
}

/// The text at the end of a run.
pub(super) fn text(records: &[Record]) -> String {
    let mut text = String::new();
    let failed = records.iter().filter(|record| record.state == Outcome::Failed);
    for record in failed {
        let message = record
            .message
            .as_deref()
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("");
        let _ = writeln!(text, "failed: {}\n        {message}", record.name);
        if let Some(log) = &record.log {
            let _ = writeln!(text, "        {log}");
        }
    }
    for record in records.iter().filter(|record| record.is_flake()) {
        let _ = writeln!(
            text,
            "flake: {} passed when it ran for the {}. time",
            record.name, record.attempts
        );
    }
    let _ = writeln!(
        text,
        "\n{:<24} {:>7} {:>7} {:>7}",
        "", "passed", "failed", "skipped"
    );
    let all = Tally::of(records);
    for (sig, tally) in by_sig(records).into_iter().chain([("all", all)]) {
        let Tally {
            passed,
            failed,
            skipped,
            ..
        } = tally;
        let _ = writeln!(text, "{sig:<24} {passed:>7} {failed:>7} {skipped:>7}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn every_group_is_counted_and_failures_are_named() {
        let mut records = vec![
            record("[sig-node] a", Outcome::Passed),
            record("[sig-node] b", Outcome::Failed),
            record("[sig-apps] c", Outcome::Skipped),
        ];
        records[0].attempts = 2;
        let tally = Tally::of(&records);
        assert_eq!(
            (
                tally.passed,
                tally.failed,
                tally.skipped,
                tally.flakes,
                tally.all()
            ),
            (1, 1, 1, 1, 3)
        );
        assert_eq!(by_sig(&records)["sig-node"].all(), 2);
        let text = text(&records);
        assert!(text.contains("failed: [sig-node] b\n        it broke"), "{text}");
        assert!(text.contains("flake: [sig-node] a"), "{text}");
        let last = text
            .lines()
            .last()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>();
        assert_eq!(last, ["all", "1", "1", "1"]);
    }
}
