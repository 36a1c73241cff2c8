//! Every conformance test with its place in the suite, as the suite itself tells.
//!
//! A suite's order follows from its seed: the number under which a process of it knows a test is the same in every run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A conformance test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// `[sig-node] Pods should ... [Conformance]`.
    pub name: String,
    /// Which unit of the suite's order it is in. Serial tests are in none: they are not handed out.
    pub unit: Option<u32>,
}

impl Test {
    pub fn sig(&self) -> &str {
        sig(&self.name)
    }
}

/// The group that a test belongs to: `sig-node`.
pub fn sig(name: &str) -> &str {
    name.strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or("other", |(sig, _)| sig)
}

/// Whether the suite wants a test to run alone.
pub fn is_serial(name: &str) -> bool {
    name.contains("[Serial]")
}

pub fn is_conformance(name: &str) -> bool {
    name.contains("[Conformance]")
}

/// The catalogue of one build of the suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The build: path, length and time of change of its program, and what it is told of the cluster.
    pub of: String,
    pub tests: Vec<Test>,
}

impl Catalogue {
    /// The catalogue in `file`, if it is that of `program` with these settings.
    pub fn read(file: &Path, program: &Path, settings: &[String]) -> Option<Self> {
        let catalogue: Self = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        (catalogue.of == stamp(program, settings).ok()?).then_some(catalogue)
    }

    pub fn new(program: &Path, settings: &[String], mut tests: Vec<Test>) -> Result<Self> {
        tests.sort_by(|a, b| a.name.cmp(&b.name));
        tests.dedup_by(|a, b| a.name == b.name);
        let of = stamp(program, settings)?;
        Ok(Self { of, tests })
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        crate::state::replace(file, &serde_json::to_vec_pretty(self)?)
    }
}

fn stamp(program: &Path, settings: &[String]) -> Result<String> {
    let real: PathBuf = program
        .canonicalize()
        .with_context(|| format!("looking at {}", program.display()))?;
    let about = real
        .metadata()
        .with_context(|| format!("looking at {}", real.display()))?;
    Ok(format!(
        "{} {} {:?} {}",
        real.display(),
        about.len(),
        about.modified().ok(),
        settings.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_group_and_whether_the_test_runs_alone() {
        let name = "[sig-apps] Daemon set [Serial] should run [Conformance]";
        assert_eq!(sig(name), "sig-apps");
        assert!(is_serial(name) && is_conformance(name));
        assert_eq!(sig("no group"), "other");
    }

    #[test]
    fn a_catalogue_holds_for_the_program_that_it_was_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let (program, file) = (
            folder.path().join("e2e.test"),
            folder.path().join("catalogue.json"),
        );
        let settings = ["--nodes=2".to_owned()];
        std::fs::write(&program, "one").unwrap();
        let test = |name: &str, unit| Test {
            name: name.to_owned(),
            unit,
        };
        let made = Catalogue::new(
            &program,
            &settings,
            vec![test("b", Some(7)), test("a", None), test("b", Some(7))],
        )
        .unwrap();
        assert_eq!(made.tests.len(), 2);
        made.write(&file).unwrap();
        assert_eq!(Catalogue::read(&file, &program, &settings), Some(made));
        std::fs::write(&program, "other").unwrap();
        assert_eq!(Catalogue::read(&file, &program, &settings), None);
    }
}
