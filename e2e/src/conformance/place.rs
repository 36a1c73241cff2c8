//! Where results are kept, and what a combination is called.

use std::fmt;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::plan::address::{CONTROL_PLANE, node_names};
use crate::plan::choice::{Choices, Component, Origin};

/// What a rig is made of, in a word: `ours`, `upstream`, `kubelet`, `scheduler+proxy`, `n1.kubelet`: what is ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Combination(String);

impl Combination {
    pub fn of(choices: &Choices, nodes: u8) -> Self {
        let mut ours: Vec<String> = Vec::new();
        let mut theirs = false;
        for component in Component::ALL {
            let machines = if component.on_nodes() {
                node_names(nodes)
            } else {
                vec![CONTROL_PLANE.to_owned()]
            };
            let is_ours = |machine: &&String| choices.origin(component, machine) == Origin::Ours;
            let with: Vec<&String> = machines.iter().filter(is_ours).collect();
            theirs |= with.len() < machines.len();
            if with.len() == machines.len() {
                ours.push(component.name().to_owned());
            } else {
                ours.extend(with.iter().map(|machine| format!("{machine}.{component}")));
            }
        }
        Self(match (ours.is_empty(), theirs) {
            (_, false) => "ours".to_owned(),
            (true, _) => "upstream".to_owned(),
            _ => ours.join("+"),
        })
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Combination {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of results.
///
/// ```text
/// catalogue.json           every test, with its place in the suite
/// COMBINATION.json         the last result of each test        COMBINATION.xml   the last run, for JUnit's readers
/// COMBINATION.journal      the run that is under way, or that was broken off: a line a result
/// COMBINATION/*.log        failures; what the suite's processes said
/// ```
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

impl Place {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Held while tests run: two runs at once would spoil each other's results.
    pub(super) fn hold(&self) -> Result<File> {
        std::fs::create_dir_all(&self.0).with_context(|| format!("making {}", self.0.display()))?;
        let path = self.0.join("lock");
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another `rig conformance` is under way in {}: wait for it",
                self.0.display()
            );
        }
        Ok(file)
    }

    pub(super) fn catalogue(&self) -> PathBuf {
        self.0.join("catalogue.json")
    }

    pub(super) fn result(&self, of: &Combination) -> PathBuf {
        self.0.join(format!("{of}.json"))
    }

    pub(super) fn junit(&self, of: &Combination) -> PathBuf {
        self.0.join(format!("{of}.xml"))
    }

    pub(super) fn journal(&self, of: &Combination) -> PathBuf {
        self.0.join(format!("{of}.journal"))
    }

    pub(super) fn logs(&self, of: &Combination) -> PathBuf {
        self.0.join(of.name())
    }

    /// Combinations that have a result.
    pub(super) fn combinations(&self) -> Vec<Combination> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<Combination> = entries
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.strip_suffix(".json")?.to_owned();
                (name != "catalogue").then_some(Combination(name))
            })
            .collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_is_called_after_what_is_ours() {
        for (uses, want) in [
            ("all=ours", "ours"),
            ("all=upstream", "upstream"),
            ("all=upstream,kubelet=ours", "kubelet"),
            ("kubelet=upstream,controllers=upstream", "scheduler+proxy"),
            ("all=upstream,n1:kubelet=ours", "n1.kubelet"),
        ] {
            let parsed: Vec<_> = uses.split(',').map(|item| item.parse().unwrap()).collect();
            let choices = Choices::new(&parsed, 2).unwrap();
            assert_eq!(Combination::of(&choices, 2).name(), want, "{uses}");
        }
    }

    #[test]
    fn only_one_run_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("results"));
        let held = place.hold().unwrap();
        assert!(place.hold().unwrap_err().to_string().contains("under way"));
        drop(held);
        assert!(place.hold().is_ok());
    }

    #[test]
    fn results_are_found_again_by_their_combination() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().to_owned());
        assert!(place.combinations().is_empty());
        std::fs::write(place.result(&"kubelet".into()), "{}").unwrap();
        std::fs::write(place.catalogue(), "{}").unwrap();
        std::fs::write(place.journal(&"ours".into()), "").unwrap();
        assert_eq!(place.combinations(), ["kubelet".into()]);
    }
}
