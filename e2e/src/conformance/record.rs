//! Results: a line a test while a run lasts, one file a combination afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::place::{Combination, Place};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// The test found that it does not apply here.
    Skipped,
}

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) sig: String,
    pub(super) state: Outcome,
    pub(super) seconds: f64,
    /// How often it ran; more than once and passed: a flake.
    pub(super) attempts: u32,
    /// Why it failed, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// File of its log, below the folder of results; of failures only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    /// When it ended.
    pub(super) at: String,
    /// The commit of our programs.
    pub(super) commit: String,
}

impl Record {
    pub(super) fn passed(&self) -> bool {
        self.state == Outcome::Passed
    }

    pub(super) fn is_flake(&self) -> bool {
        self.passed() && self.attempts > 1
    }
}

/// The last result of each test of a combination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) combination: String,
    pub(super) tests: Vec<Record>,
}

impl Results {
    /// What is known of `of`: its file, and the journal of a run that was broken off.
    pub(super) fn read(place: &Place, of: &Combination) -> Result<Self> {
        let file = place.result(of);
        let mut results = match std::fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        of.name().clone_into(&mut results.combination);
        results.add(read_journal(&place.journal(of))?);
        Ok(results)
    }

    /// Newer results take the place of older ones.
    pub(super) fn add(&mut self, records: impl IntoIterator<Item = Record>) {
        let mut by_name: BTreeMap<String, Record> = self
            .tests
            .drain(..)
            .map(|record| (record.name.clone(), record))
            .collect();
        by_name.extend(records.into_iter().map(|record| (record.name.clone(), record)));
        self.tests = by_name.into_values().collect();
    }

    pub(super) fn write(&self, place: &Place, of: &Combination) -> Result<()> {
        crate::state::replace(&place.result(of), &serde_json::to_vec_pretty(self)?)
    }

    /// Tests that did not pass.
    pub(super) fn failed(&self) -> BTreeSet<String> {
        let failed = self.tests.iter().filter(|record| record.state == Outcome::Failed);
        failed.map(|record| record.name.clone()).collect()
    }

    /// Seconds by test, of those that passed.
    pub(super) fn seconds(&self) -> BTreeMap<String, f64> {
        let passed = self.tests.iter().filter(|record| record.passed());
        passed
            .map(|record| (record.name.clone(), record.seconds))
            .collect()
    }
}

/// The results of a run, appended as they come.
pub(super) struct Journal {
    file: File,
    records: Vec<Record>,
}

impl Journal {
    /// Goes on with the journal that a broken run left in `file`, or starts a new one.
    pub(super) fn open(file: &Path, resume: bool) -> Result<Self> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let records = if resume { read_journal(file)? } else { Vec::new() };
        // Anew, without the half line that a kill may have left at its end.
        let whole: String = records.iter().map(line).collect::<Result<_>>()?;
        crate::state::replace(file, whole.as_bytes())?;
        let open = OpenOptions::new().append(true).open(file);
        Ok(Self {
            file: open.with_context(|| format!("opening {}", file.display()))?,
            records,
        })
    }

    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        self.file
            .write_all(line(&record)?.as_bytes())
            .context("writing the journal of results")?;
        self.records.push(record);
        Ok(())
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }
}

fn line(record: &Record) -> Result<String> {
    Ok(serde_json::to_string(record)? + "\n")
}

/// Every whole line.
fn read_journal(file: &Path) -> Result<Vec<Record>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn record(name: &str, state: Outcome) -> Record {
        Record {
            name: name.to_owned(),
            sig: super::super::catalogue::sig(name).to_owned(),
            state,
            seconds: 1.5,
            attempts: 1,
            message: (state == Outcome::Failed).then(|| "it broke".to_owned()),
            log: None,
            at: "2026-01-01T00:00:00Z".to_owned(),
            commit: "abc".to_owned(),
        }
    }

    #[test]
    fn a_run_that_was_killed_goes_on_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results/ours.journal");
        let mut journal = Journal::open(&file, true).unwrap();
        journal.add(record("[sig-a] one", Outcome::Passed)).unwrap();
        journal.add(record("[sig-a] two", Outcome::Failed)).unwrap();
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"name\":\"[sig-a] thr");
        std::fs::write(&file, text).unwrap();

        let mut journal = Journal::open(&file, true).unwrap();
        assert_eq!(journal.records().len(), 2);
        journal.add(record("[sig-a] three", Outcome::Passed)).unwrap();
        assert_eq!(Journal::open(&file, true).unwrap().records().len(), 3);
        assert_eq!(Journal::open(&file, false).unwrap().records().len(), 0);
    }

    #[test]
    fn newer_results_win_and_a_broken_run_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (place, of) = (Place::new(folder.path().to_owned()), Combination::from("ours"));
        let mut results = Results::read(&place, &of).unwrap();
        results.add([record("a", Outcome::Failed), record("b", Outcome::Failed)]);
        results.write(&place, &of).unwrap();
        let mut journal = Journal::open(&place.journal(&of), false).unwrap();
        journal.add(record("a", Outcome::Passed)).unwrap();
        let read = Results::read(&place, &of).unwrap();
        assert_eq!(read.failed(), BTreeSet::from(["b".to_owned()]));
        assert_eq!(read.tests.len(), 2);
        assert!(read.seconds().contains_key("a"));
    }
}
