//! Which tests are run, in which order.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use sha2::{Digest as _, Sha256};

use super::catalogue::{Test, is_serial};
use super::estimate;

/// What the command line asks for; a test has to be right by all of it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Matches one of them; anything does if there are none.
    pub focus: Vec<Regex>,
    pub skip: Vec<Regex>,
    /// By name.
    pub list: Option<BTreeSet<String>>,
    /// `node`, `sig-node`.
    pub sigs: Vec<String>,
    /// So many of those that are left, drawn by a seed.
    pub sample: Option<(usize, u64)>,
    pub only: Only,
}

/// Whether tests that run beside others are meant, those that run alone, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Only {
    #[default]
    All,
    Parallel,
    Serial,
}

/// What is to be run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Longest first.
    pub(super) parallel: Vec<Test>,
    pub(super) serial: Vec<Test>,
}

/// The tests of `catalogue` that `selection` asks for, less those that are `done` already.
pub(super) fn plan(
    catalogue: &[Test],
    selection: &Selection,
    done: &BTreeSet<String>,
    measured: &BTreeMap<String, f64>,
) -> Plan {
    let mut chosen: Vec<&Test> = catalogue.iter().filter(|test| selection.takes(test)).collect();
    if let Some((count, seed)) = selection.sample {
        chosen.sort_by_cached_key(|test| draw(seed, &test.name));
        chosen.truncate(count);
    }
    chosen.retain(|test| !done.contains(&test.name));
    chosen.sort_by(|a, b| {
        let seconds = |test: &Test| estimate::seconds(&test.name, measured);
        seconds(b)
            .total_cmp(&seconds(a))
            .then_with(|| a.name.cmp(&b.name))
    });
    let (parallel, serial) = chosen.into_iter().cloned().partition(|test| test.unit.is_some());
    Plan { parallel, serial }
}

impl Selection {
    fn takes(&self, test: &Test) -> bool {
        let name = test.name.as_str();
        let of_sig =
            |sig: &String| test.sig() == sig || test.sig().strip_prefix("sig-") == Some(sig.as_str());
        let of_kind = match self.only {
            Only::All => true,
            Only::Parallel => !is_serial(name),
            Only::Serial => is_serial(name),
        };
        of_kind
            && (self.focus.is_empty() || self.focus.iter().any(|focus| focus.is_match(name)))
            && !self.skip.iter().any(|skip| skip.is_match(name))
            && self.list.as_ref().is_none_or(|list| list.contains(name))
            && (self.sigs.is_empty() || self.sigs.iter().any(of_sig))
    }
}

/// Orders tests by chance, the same for the same seed.
fn draw(seed: u64, name: &str) -> [u8; 32] {
    Sha256::new_with_prefix(seed.to_be_bytes())
        .chain_update(name)
        .finalize()
        .into()
}

/// Names in the text of a list: one a line; empty lines and those that start with # say nothing.
pub fn names(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Vec<Test> {
        let names = [
            "[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]",
            "[sig-apps] Daemon set [Serial] should run [Conformance]",
            "[sig-network] Services should serve [Conformance]",
            "[sig-node] Pods should be [Conformance]",
            "[sig-node] Pods should not be [Conformance]",
        ];
        let test = |(unit, name): (usize, &str)| Test {
            name: name.to_owned(),
            unit: (!is_serial(name)).then_some(u32::try_from(unit).unwrap()),
        };
        names.into_iter().enumerate().map(test).collect()
    }

    fn short(tests: &[Test]) -> Vec<&str> {
        tests.iter().map(|test| &test.name[5..10]).collect()
    }

    #[test]
    fn the_longest_come_first_and_serial_ones_stand_apart() {
        let measured = BTreeMap::from([(catalogue()[4].name.clone(), 90.0)]);
        let plan = plan(&catalogue(), &Selection::default(), &BTreeSet::new(), &measured);
        assert_eq!(short(&plan.parallel), ["apps]", "node]", "netwo", "node]"]);
        assert!(plan.parallel[1].name.contains("not be"));
        assert_eq!(short(&plan.serial), ["apps]"]);
    }

    #[test]
    fn a_test_has_to_be_right_by_all_that_is_asked_for() {
        let regexes = |texts: &[&str]| texts.iter().map(|text| Regex::new(text).unwrap()).collect();
        let cases = [
            (
                Selection {
                    focus: regexes(&["Pods", "Services"]),
                    ..Selection::default()
                },
                3,
            ),
            (
                Selection {
                    focus: regexes(&["Pods"]),
                    skip: regexes(&["not be"]),
                    ..Selection::default()
                },
                1,
            ),
            (
                Selection {
                    sigs: vec!["node".into(), "sig-apps".into()],
                    ..Selection::default()
                },
                4,
            ),
            (
                Selection {
                    only: Only::Serial,
                    ..Selection::default()
                },
                1,
            ),
            (
                Selection {
                    only: Only::Parallel,
                    ..Selection::default()
                },
                4,
            ),
            (
                Selection {
                    list: Some(names(&format!("# some\n\n {}\nanother\n", catalogue()[3].name))),
                    ..Selection::default()
                },
                1,
            ),
            (
                Selection {
                    sample: Some((2, 1)),
                    ..Selection::default()
                },
                2,
            ),
            (
                Selection {
                    sample: Some((200, 1)),
                    ..Selection::default()
                },
                5,
            ),
        ];
        for (selection, want) in cases {
            let plan = plan(&catalogue(), &selection, &BTreeSet::new(), &BTreeMap::new());
            assert_eq!(plan.parallel.len() + plan.serial.len(), want, "{selection:?}");
        }
    }

    #[test]
    fn what_is_done_is_left_out_of_a_sample_and_nothing_takes_its_place() {
        let selection = Selection {
            sample: Some((3, 7)),
            ..Selection::default()
        };
        let all = |done: &BTreeSet<String>| {
            let plan = plan(&catalogue(), &selection, done, &BTreeMap::new());
            let mut names: Vec<String> = plan
                .parallel
                .into_iter()
                .chain(plan.serial)
                .map(|t| t.name)
                .collect();
            names.sort();
            names
        };
        let first = all(&BTreeSet::new());
        assert_eq!(first, all(&BTreeSet::new()));
        let done = BTreeSet::from([first[0].clone()]);
        assert_eq!(all(&done), first[1..]);
    }
}
