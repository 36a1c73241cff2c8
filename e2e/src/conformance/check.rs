//! The list of tests that pass, which only grows.

use std::collections::BTreeSet;

use super::record::{Outcome, Record};

/// What a run says of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Check {
    /// On the list, and failed.
    pub(super) broken: Vec<String>,
    /// On the list, and ran to no result.
    pub(super) missing: Vec<String>,
    /// Passed at once, and not on the list.
    pub(super) new: Vec<String>,
}

/// Compares the results of a run that should have run `wanted` with the list.
pub(super) fn check(list: &BTreeSet<String>, wanted: &BTreeSet<String>, records: &[Record]) -> Check {
    let named = |keep: &dyn Fn(&Record) -> bool| -> Vec<String> {
        let kept = records.iter().filter(|record| keep(record));
        kept.map(|record| record.name.clone()).collect()
    };
    let ran: BTreeSet<&str> = records.iter().map(|record| record.name.as_str()).collect();
    Check {
        broken: named(&|record| record.state != Outcome::Passed && list.contains(&record.name)),
        missing: list
            .iter()
            .filter(|name| wanted.contains(*name) && !ran.contains(name.as_str()))
            .cloned()
            .collect(),
        new: named(&|record| record.passed() && !record.is_flake() && !list.contains(&record.name)),
    }
}

/// The list with `new` added: what is on it stays.
pub(super) fn grown(text: &str, new: &[String]) -> String {
    let (head, names): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let names = names.into_iter().filter(|line| !line.trim().is_empty());
    let names: BTreeSet<&str> = names.chain(new.iter().map(String::as_str)).collect();
    let lines: Vec<&str> = head.into_iter().chain(names).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_on_the_list_has_to_pass_and_the_rest_may() {
        let mut flake = record("flake", Outcome::Passed);
        flake.attempts = 2;
        let records = [
            record("good", Outcome::Passed),
            record("bad", Outcome::Failed),
            record("skipped", Outcome::Skipped),
            record("never did", Outcome::Failed),
            record("fresh", Outcome::Passed),
            flake,
        ];
        let list = set(&["good", "bad", "skipped", "lost", "not asked for", "flake"]);
        let check = check(
            &list,
            &set(&["good", "bad", "lost", "skipped", "flake", "fresh"]),
            &records,
        );
        assert_eq!(check.broken, ["bad", "skipped"]);
        assert_eq!(check.missing, ["lost"]);
        assert_eq!(check.new, ["fresh"]);
    }

    #[test]
    fn the_list_only_grows() {
        let text = "# Tests\nb\n\na\n";
        assert_eq!(
            grown(text, &["c".to_owned(), "a".to_owned()]),
            "# Tests\na\nb\nc\n"
        );
        assert_eq!(grown("", &["c".to_owned()]), "c\n");
    }
}
