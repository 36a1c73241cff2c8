//! Who runs what: units of the suite's order are handed to processes that ask, and their reports come back.
//!
//! A pure state machine; time and processes are the shell's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::catalogue::Test;

/// Number of a process of the suite; the first is 1.
pub(super) type Process = u32;

/// What a process that asks for work is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Unit(u32),
    /// Nothing now, but what runs elsewhere may have to be run again.
    Later,
    /// Nothing any more.
    None,
}

/// How a test ended this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its result stands.
    Final { attempts: u32 },
    /// It is run again.
    Again,
    /// Nobody asked for it: part of a unit of which another test was wanted, or skipped.
    Unwanted,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<u32>,
    /// Tests of a unit that are wanted.
    units: BTreeMap<u32, BTreeSet<String>>,
    /// Tests that are wanted and have no result, with how often they have run.
    open: BTreeMap<String, u32>,
    running: BTreeMap<Process, u32>,
    /// How often a test may be run again after it failed.
    retries: u32,
    stopped: bool,
}

impl Queue {
    /// Work for processes that ask for it, in the order of `tests`. Those that are in no unit are only waited for.
    pub(super) fn new(tests: &[Test], retries: u32) -> Self {
        let mut queue = Self {
            retries,
            ..Self::default()
        };
        for test in tests {
            queue.open.insert(test.name.clone(), 0);
            if let Some(unit) = test.unit {
                if !queue.units.contains_key(&unit) {
                    queue.waiting.push_back(unit);
                }
                queue.units.entry(unit).or_default().insert(test.name.clone());
            }
        }
        queue
    }

    /// `process` has nothing to do, which also says that what it ran last is over.
    pub(super) fn next(&mut self, process: Process) -> Work {
        self.running.remove(&process);
        if self.stopped {
            return Work::None;
        }
        if let Some(unit) = self.waiting.pop_front() {
            self.running.insert(process, unit);
            return Work::Unit(unit);
        }
        if self.retries > 0 && !self.running.is_empty() {
            return Work::Later;
        }
        Work::None
    }

    /// A process reports that it ran `test`.
    pub(super) fn ran(&mut self, test: &str, passed: bool) -> Verdict {
        let Some(runs) = self.open.get_mut(test) else {
            return Verdict::Unwanted;
        };
        *runs += 1;
        let attempts = *runs;
        if !passed && attempts <= self.retries && !self.stopped {
            let unit = self.units.iter().find(|(_, tests)| tests.contains(test));
            if let Some((unit, _)) = unit
                && !self.waiting.contains(unit)
            {
                self.waiting.push_back(*unit);
            }
            return Verdict::Again;
        }
        self.open.remove(test);
        Verdict::Final { attempts }
    }

    /// `process` has ended. Says which tests went with it.
    pub(super) fn gone(&mut self, process: Process) -> Vec<String> {
        let unit = self.running.remove(&process);
        let tests = unit.and_then(|unit| self.units.get(&unit)).into_iter().flatten();
        tests
            .filter(|test| self.open.contains_key(*test))
            .cloned()
            .collect()
    }

    /// Nothing more is handed out.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.waiting.clear();
    }

    /// Whether there is something for a new process.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tests that have no result yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }

    /// Open tests that nobody runs now.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        let running: BTreeSet<&str> = self.running().map(|(_, test)| test).collect();
        self.open().filter(move |test| !running.contains(test))
    }

    /// What each process runs.
    pub(super) fn running(&self) -> impl Iterator<Item = (Process, &str)> {
        self.running.iter().flat_map(|(process, unit)| {
            let tests = self.units.get(unit).into_iter().flatten();
            tests.map(|test| (*process, test.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(units: &[(&str, Option<u32>)], retries: u32) -> Queue {
        let tests: Vec<Test> = units
            .iter()
            .map(|(name, unit)| Test {
                name: (*name).to_owned(),
                unit: *unit,
            })
            .collect();
        Queue::new(&tests, retries)
    }

    #[test]
    fn units_are_handed_out_in_order_and_once() {
        let mut queue = queue(
            &[("long", Some(9)), ("short", Some(2)), ("same unit", Some(9))],
            0,
        );
        assert_eq!(queue.next(1), Work::Unit(9));
        assert_eq!(queue.next(2), Work::Unit(2));
        assert_eq!(queue.next(3), Work::None);
        assert_eq!(queue.running().count(), 3);
        assert_eq!(queue.ran("long", true), Verdict::Final { attempts: 1 });
        assert_eq!(queue.ran("same unit", false), Verdict::Final { attempts: 1 });
        assert_eq!(queue.ran("stranger", false), Verdict::Unwanted);
        assert_eq!(queue.open().collect::<Vec<_>>(), ["short"]);
    }

    #[test]
    fn a_test_that_fails_is_run_again_at_the_end_as_often_as_it_may() {
        let mut queue = queue(&[("a", Some(1)), ("b", Some(2))], 1);
        assert_eq!(queue.next(1), Work::Unit(1));
        assert_eq!(queue.ran("a", false), Verdict::Again);
        assert_eq!(queue.next(1), Work::Unit(2));
        assert_eq!(queue.next(2), Work::Unit(1));
        // The other process may yet fail: nobody goes home.
        assert_eq!(queue.ran("b", true), Verdict::Final { attempts: 1 });
        assert_eq!(queue.next(1), Work::Later);
        assert_eq!(queue.ran("a", false), Verdict::Final { attempts: 2 });
        assert_eq!(queue.next(2), Work::None);
        assert_eq!(queue.next(1), Work::None);
    }

    #[test]
    fn a_process_that_dies_takes_only_the_test_that_it_ran() {
        let mut queue = queue(&[("a", Some(1)), ("b", Some(2))], 0);
        queue.next(1);
        queue.next(2);
        queue.ran("b", true);
        assert!(queue.gone(2).is_empty(), "its test had ended");
        assert_eq!(queue.gone(1), ["a"]);
        assert!(!queue.has_work());
        assert_eq!(queue.ran("a", false), Verdict::Final { attempts: 1 });
        assert_eq!(queue.open().count(), 0);
    }

    #[test]
    fn after_a_stop_nothing_is_handed_out() {
        let mut queue = queue(&[("a", Some(1)), ("b", Some(2))], 1);
        queue.next(1);
        queue.stop();
        assert_eq!(queue.next(2), Work::None);
        assert_eq!(queue.ran("a", false), Verdict::Final { attempts: 1 });
    }

    #[test]
    fn serial_tests_are_waited_for_and_not_handed_out() {
        let mut queue = queue(&[("alone", None)], 0);
        assert_eq!(queue.next(1), Work::None);
        assert_eq!(queue.waiting().collect::<Vec<_>>(), ["alone"]);
        assert_eq!(queue.ran("alone", true), Verdict::Final { attempts: 1 });
    }
}
