//! `docs/conformance.md`: a row a group, a column a combination, and every test that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::catalogue::sig;
use super::place::{Combination, Place};
use super::record::{Outcome, Record, Results};
use super::summary::{self, Tally};

/// Causes of failures, by test: a name, a tab, a sentence.
const CAUSES: &str = include_str!("../../conformance/causes.txt");

const HEAD: &str = "# Conformance

Upstream's conformance tests of Kubernetes v1.37 (`e2e.test`, unmodified), against upstream's kube-apiserver and etcd on
the [rig](rig.md) with the programs of a column's name being ours and the others upstream's. `rig conformance` runs them;
`rig conformance --report` makes this page of the results.
";

/// Writes the page of all results in `place`.
pub(super) fn write(place: &Place, page: &Path) -> Result<()> {
    let read = |of: Combination| Results::read(place, &of);
    let mut results = place
        .combinations()
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>>>()?;
    if results.is_empty() {
        bail!(
            "there is no result in {}: `rig conformance` makes one",
            place.folder().display()
        );
    }
    results.sort_by_key(|results| (column(&results.combination), results.combination.clone()));
    crate::state::replace(page, text(&results, CAUSES).as_bytes())
}

/// Upstream's own column is the first, all of ours the last.
fn column(combination: &str) -> usize {
    ["upstream", "kubelet", "scheduler", "proxy", "controllers"]
        .iter()
        .position(|known| *known == combination)
        .unwrap_or(if combination == "ours" { 9 } else { 5 })
}

fn text(results: &[Results], causes: &str) -> String {
    let mut text = format!(
        "{HEAD}\nPassed, of those that ran; flakes, which passed when run again, count as passed. Runs may have shared the machine with \
         other work: compare the minutes of the parallel part with care.\n\n| group |"
    );
    for results in results {
        let _ = write!(text, " {} |", results.combination);
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(results.len()));
    let groups: BTreeSet<&str> = results
        .iter()
        .flat_map(|results| results.tests.iter().map(|record| record.sig.as_str()))
        .collect();
    for group in groups {
        let cells = results.iter().map(|results| {
            summary::by_sig(&results.tests)
                .get(group)
                .copied()
                .unwrap_or_default()
        });
        row(&mut text, group, cells);
    }
    row(
        &mut text,
        "**all**",
        results.iter().map(|results| Tally::of(&results.tests)),
    );
    let _ = write!(text, "| parallel part, minutes |");
    for results in results {
        let cell = parallel_part(&results.tests).map(|part| format!("{:.1}", part.as_secs_f64() / 60.0));
        let _ = write!(text, " {} |", cell.as_deref().unwrap_or("-"));
    }
    text.push('\n');
    let last = |results: &Results| {
        let at = results.tests.iter().map(|record| record.at.as_str()).max();
        at.map_or("", |at| at.get(..10).unwrap_or(at)).to_owned()
    };
    let commits = |results: &Results| {
        let all: BTreeSet<&str> = results
            .tests
            .iter()
            .map(|record| record.commit.as_str())
            .collect();
        all.into_iter().collect::<Vec<_>>().join(" ")
    };
    for (name, cell) in [
        ("when", &last as &dyn Fn(&Results) -> String),
        ("commit", &commits),
    ] {
        let _ = write!(text, "| {name} |");
        for results in results {
            let _ = write!(text, " {} |", cell(results));
        }
        text.push('\n');
    }
    failures(&mut text, results, causes);
    text
}

/// How long at least one of the tests that run beside each other was running: pauses between runs do not count.
fn parallel_part(tests: &[Record]) -> Option<Duration> {
    let mut spans: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(tests.len());
    for record in tests.iter().filter(|record| !record.name.contains("[Serial]")) {
        let end: Timestamp = record.at.parse().ok()?;
        spans.push((end - Duration::try_from_secs_f64(record.seconds).ok()?, end));
    }
    spans.sort_unstable();
    let mut until = spans.first()?.0;
    let mut sum = Duration::ZERO;
    for (start, end) in spans {
        sum += Duration::try_from(end.duration_since(start.max(until))).unwrap_or_default();
        until = until.max(end);
    }
    Some(sum)
}

fn row(text: &mut String, name: &str, tallies: impl Iterator<Item = Tally>) {
    let _ = write!(text, "| {name} |");
    for tally in tallies {
        let _ = match tally.all() {
            0 => write!(text, " - |"),
            all if all == tally.passed => write!(text, " {all} |"),
            all => write!(text, " **{}** of {all} |", tally.passed),
        };
    }
    text.push('\n');
}

fn failures(text: &mut String, results: &[Results], causes: &str) {
    let causes: BTreeMap<&str, &str> = causes.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut failed: BTreeMap<&str, Vec<(&str, &Record)>> = BTreeMap::new();
    for results in results {
        for record in results
            .tests
            .iter()
            .filter(|record| record.state != Outcome::Passed)
        {
            let with = failed.entry(&record.name).or_default();
            with.push((&results.combination, record));
        }
    }
    text.push_str("\n## What fails\n\n");
    if failed.is_empty() {
        text.push_str("Nothing.\n");
        return;
    }
    let mut group = "";
    for (name, with) in failed {
        if sig(name) != group {
            group = sig(name);
            let _ = writeln!(text, "### {group}\n");
        }
        let combinations: Vec<&str> = with.iter().map(|(combination, _)| *combination).collect();
        let told = with.iter().find_map(|(_, record)| record.message.as_deref());
        let cause = causes.get(name).copied().or(told).unwrap_or("no message");
        let _ = writeln!(
            text,
            "- `{name}` ({}): {}",
            combinations.join(", "),
            one_line(cause)
        );
    }
}

/// The first lines of a message, in one that a list can hold.
fn one_line(message: &str) -> String {
    let line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(240).collect();
    let cut = cut.replace('|', "\\|").replace('<', "&lt;");
    if cut.chars().count() < line.chars().count() {
        cut + " ..."
    } else {
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn the_page_has_a_row_a_group_and_names_what_fails_with_its_cause() {
        let results = |combination: &str, states: &[(&str, Outcome)]| Results {
            combination: combination.to_owned(),
            tests: states.iter().map(|(name, state)| record(name, *state)).collect(),
        };
        let page = text(
            &[
                results(
                    "upstream",
                    &[
                        ("[sig-apps] a", Outcome::Passed),
                        ("[sig-node] b", Outcome::Passed),
                    ],
                ),
                results(
                    "ours",
                    &[
                        ("[sig-apps] a", Outcome::Failed),
                        ("[sig-node] b", Outcome::Failed),
                    ],
                ),
            ],
            "[sig-node] b\twhat is known\n",
        );
        for line in [
            "| group | upstream | ours |",
            "| sig-apps | 1 | **0** of 1 |",
            "| **all** | 2 | **0** of 2 |",
            "| parallel part, minutes | 0.0 | 0.0 |",
            "| when | 2026-01-01 | 2026-01-01 |",
            "### sig-apps",
            "- `[sig-apps] a` (ours): it broke",
            "- `[sig-node] b` (ours): what is known",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }

    #[test]
    fn the_parallel_part_is_when_tests_ran() {
        let at = |name: &str, at: &str, seconds: f64| Record {
            at: at.to_owned(),
            seconds,
            ..record(name, Outcome::Passed)
        };
        let tests = [
            at("long", "2026-01-01T10:02:00Z", 120.0),
            at("within it", "2026-01-01T10:01:00Z", 30.0),
            at("overlaps it", "2026-01-01T10:02:30Z", 60.0),
            at("run again the day after", "2026-01-02T10:00:00Z", 10.0),
            at("[Serial] c", "2026-01-01T12:00:00Z", 30.0),
        ];
        assert_eq!(parallel_part(&tests), Some(Duration::from_secs(160)));
        assert_eq!(parallel_part(&[]), None);
    }

    #[test]
    fn columns_stand_in_a_fixed_order() {
        let mut names = ["ours", "scheduler+proxy", "controllers", "upstream", "kubelet"];
        names.sort_by_key(|name| column(name));
        assert_eq!(
            names,
            ["upstream", "kubelet", "controllers", "scheduler+proxy", "ours"]
        );
    }
}
