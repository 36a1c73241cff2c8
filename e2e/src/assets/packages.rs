//! What assets and rigs need of the machine: `need.sh` knows the Debian packages, for us and for the Makefile alike.

use std::fmt;
use std::process::{Command, Stdio};

use super::error::{Error, Result};
use super::progress::{Progress, Step};

const SCRIPT: &str = include_str!("../../need.sh");

/// What the machine is to be fit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Building upstream's programs.
    Go,
    /// Making container images.
    Images,
    /// Running a cluster.
    Rig,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Go => "go",
            Stage::Images => "images",
            Stage::Rig => "rig",
        })
    }
}

/// Sees that the machine has what `stages` need; installs Debian packages when it may.
///
/// # Errors
/// [`Error::Packages`] with what is missing and how to get it.
pub fn require(stages: &[Stage], progress: &dyn Progress) -> Result<()> {
    let names: Vec<String> = stages.iter().map(Stage::to_string).collect();
    let what = "the machine's packages";
    let failed = |report: String| Error::Packages {
        stages: names.join(", "),
        report,
    };
    let output = Command::new("sh")
        .args(["-c", SCRIPT, "need.sh"])
        .args(&names)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(format!("could not ask: sh: {e}")))?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        progress.show(what, Step::At { detail: line });
    }
    if output.status.success() {
        return Ok(());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the script with nothing but its own tools on the PATH.
    fn bare(stage: &str) -> std::process::Output {
        let dir = tempfile::tempdir().unwrap();
        for tool in ["awk", "sort", "tr", "id"] {
            let at = ["/usr/bin", "/bin"].iter().map(|d| format!("{d}/{tool}"));
            let at = at.into_iter().find(|p| std::path::Path::new(p).exists()).unwrap();
            std::os::unix::fs::symlink(at, dir.path().join(tool)).unwrap();
        }
        let script = SCRIPT
            .lines()
            .filter(|l| !l.starts_with("PATH="))
            .collect::<Vec<_>>()
            .join("\n");
        Command::new("/bin/sh")
            .args(["-c", &script, "need.sh", stage])
            .env_clear()
            .env("PATH", dir.path())
            .output()
            .unwrap()
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let output = bare("cargo");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(error.contains("  mold: Debian package mold\n"), "{error}");
        assert!(
            error.contains("  cargo: Rust 1.95 or newer: https://rustup.rs\n"),
            "{error}"
        );
        let advice = error.lines().last().unwrap();
        assert!(
            advice.contains("apt-get install -y") && advice.contains("protobuf-compiler"),
            "{advice}"
        );
        assert!(
            !error.contains("iproute2"),
            "only the stage that was asked for: {error}"
        );
    }

    #[test]
    fn a_stage_that_the_script_does_not_know_would_need_nothing() {
        for stage in [Stage::Go, Stage::Images, Stage::Rig] {
            assert!(
                SCRIPT.lines().any(|l| l.starts_with(&format!("{stage} "))),
                "{stage}"
            );
        }
    }
}
