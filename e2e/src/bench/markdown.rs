//! A table as a section of the page.

use std::fmt::Write as _;

use super::summary::{Summary, figure};
use super::table::{Better, Row, Table, Target, Verdict};
use crate::plan::choice::Origin;

/// The section: heading, chart, how it was measured, rows, failures, and `origin`, which says where and when.
pub fn section(table: &Table, chart: Option<&str>, origin: &str) -> String {
    let (met, targets) = table.score();
    let mut text = format!("## {}\n\n{}\n\n", table.title, table.method);
    if targets > 0 {
        let _ = write!(text, "**{met} of {targets} targets met.** ");
    }
    let _ = writeln!(text, "{origin}\n");
    if let Some(chart) = chart {
        let _ = writeln!(text, "![{}]({chart})\n", table.title);
    }
    text.push_str(
        "| | | upstream | ours | ours / upstream | floor | target | met |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut case = "";
    for row in &table.rows {
        let name = if row.case == case { "" } else { &row.case };
        case = &row.case;
        let _ = writeln!(text, "{}", line(table, row, name));
    }
    for failure in &table.failures {
        let why = failure.why.lines().next().unwrap_or_default();
        let _ = writeln!(text, "\nfailed: {}, {}: {why}", failure.case, failure.origin);
    }
    text
}

fn line(table: &Table, row: &Row, case: &str) -> String {
    let side = |origin: Origin| {
        Summary::of(row.samples(origin)).map_or_else(
            || {
                let failed = table
                    .failures
                    .iter()
                    .any(|failure| failure.case == row.case && failure.origin == origin);
                (if failed { "failed" } else { "-" }).to_owned()
            },
            |summary| summary.to_string(),
        )
    };
    let targets: Vec<String> = row
        .targets
        .iter()
        .map(|target| condition(*target, row.better))
        .collect();
    format!(
        "| {case} | {} | {} | {} | {} | {} | {} | {} |",
        row.measure,
        side(Origin::Upstream),
        side(Origin::Ours),
        row.ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("**{}**", figure(ratio))),
        Summary::of(&row.floor).map_or_else(String::new, |floor| floor.to_string()),
        targets.join(", "),
        match row.verdict() {
            Verdict::Met => "yes",
            Verdict::Missed => "**no**",
            Verdict::Failed => "failed",
            Verdict::Untold => "",
        }
    )
}

/// `≤ 1/5`, `≥ 1.8`, `≤ 1.15 x floor`.
pub fn condition(target: Target, better: Better) -> String {
    let sign = match better {
        Better::Lower => "≤",
        Better::Higher => "≥",
    };
    match target {
        Target::Ratio(bound) => {
            let inverse = 1.0 / bound;
            if bound < 0.4 && (inverse - inverse.round()).abs() < 0.01 {
                format!("{sign} 1/{inverse:.0}")
            } else {
                format!("{sign} {bound}")
            }
        }
        Target::Floor(bound) => format!("≤ {bound} x floor"),
        Target::AtMost(bound) if bound.abs() < f64::EPSILON => "0".to_owned(),
        Target::AtMost(bound) => format!("≤ {}", figure(bound)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_people_write_them() {
        for (target, better, text) in [
            (Target::Ratio(0.2), Better::Lower, "≤ 1/5"),
            (Target::Ratio(0.7), Better::Lower, "≤ 0.7"),
            (Target::Ratio(0.5), Better::Lower, "≤ 0.5"),
            (Target::Ratio(0.25), Better::Lower, "≤ 1/4"),
            (Target::Ratio(1.0 / 3.0), Better::Lower, "≤ 1/3"),
            (Target::Ratio(1.8), Better::Higher, "≥ 1.8"),
            (Target::Floor(1.15), Better::Lower, "≤ 1.15 x floor"),
            (Target::AtMost(0.0), Better::Lower, "0"),
        ] {
            assert_eq!(condition(target, better), text);
        }
    }

    #[test]
    fn a_section_shows_rows_verdicts_and_failures() {
        let mut table = Table::new("Pods", "One node.");
        table.declare("one pod", "Ready, s", Better::Lower, &[Target::Ratio(0.7)]);
        table.declare("all", "Ready, s", Better::Lower, &[Target::Ratio(0.7)]);
        table.add("one pod", "Ready, s", Origin::Upstream, 0.54);
        table.add("one pod", "Ready, s", Origin::Ours, 0.27);
        table.add("one pod", "its CPU, s", Origin::Ours, 0.01);
        table.add("all", "Ready, s", Origin::Upstream, 17.0);
        table.fail("all", Origin::Ours, "not within 60 s: 3 of 100\nlog");
        let text = section(&table, Some("benchmarks/pods.svg"), "Commit abc.");
        for line in [
            "## Pods",
            "**1 of 2 targets met.** Commit abc.",
            "![Pods](benchmarks/pods.svg)",
            "| one pod | Ready, s | 0.54 | 0.27 | **0.50** |  | ≤ 0.7 | yes |",
            "|  | its CPU, s | - | 0.010 | - |  |  |  |",
            "| all | Ready, s | 17.0 | failed | - |  | ≤ 0.7 | failed |",
            "failed: all, ours: not within 60 s: 3 of 100",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
