//! Runs a program that makes an asset: its output goes to a log and to the progress, its last lines to the error.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{At, Error, Result};
use super::progress::{Progress, Step};

const TAIL: usize = 15;

/// Runs `command` to its end for the asset `what`; `advice` is for a machine that lacks the program.
pub(super) fn run(
    command: &mut Command,
    what: &str,
    advice: &'static str,
    log: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).at("create the folder", folder)?;
    }
    let mut file = File::create(log).at("create the log", log)?;
    let program = command.get_program().to_string_lossy().into_owned();
    writeln!(file, "{command:?}").at("write the log", log)?;

    let (reader, writer) = std::io::pipe().at("open a pipe for", log)?;
    let copy = writer.try_clone().at("open a pipe for", log)?;
    let started = command.stdin(Stdio::null()).stdout(writer).stderr(copy).spawn();
    // The command holds our ends of the pipe: without this the reader would never see its end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.map_err(|source| Error::Start {
        what: what.into(),
        program: program.clone(),
        source,
        advice,
    })?;

    let mut tail = VecDeque::with_capacity(TAIL);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.at("read the output for", log)?).into_owned();
        writeln!(file, "{line}").at("write the log", log)?;
        progress.show(what, Step::At { detail: &line });
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().at("wait for the program of", log)?;
    if status.success() {
        return Ok(());
    }
    let tail = Vec::from(tail).iter().map(|l| format!("  {l}\n")).collect();
    Err(Error::Failed {
        what: what.into(),
        program,
        outcome: status.to_string(),
        log: log.to_owned(),
        tail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::progress::Quiet;

    fn sh(script: &str) -> (tempfile::TempDir, Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/x.log");
        let ended = run(
            Command::new("sh").args(["-c", script]),
            "x",
            "install sh",
            &log,
            &Quiet,
        );
        (dir, ended)
    }

    #[test]
    fn a_failure_names_the_asset_the_log_and_the_last_lines() {
        let (dir, ended) = sh("for i in $(seq 40); do echo out $i; done; echo why >&2; exit 3");
        let error = ended.unwrap_err().to_string();
        for part in ["making x failed", "exit status: 3", "logs/x.log", "out 27", "why"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("out 26\n"), "{error}");
        assert!(
            fs::read_to_string(dir.path().join("logs/x.log"))
                .unwrap()
                .contains("out 1\n")
        );
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_the_advice() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("no-such-program-here");
        let error = run(&mut command, "x", "install it", &dir.path().join("x.log"), &Quiet).unwrap_err();
        assert!(
            error.to_string().contains("`no-such-program-here` to make x"),
            "{error}"
        );
        assert!(error.to_string().ends_with("install it"), "{error}");
    }

    #[test]
    fn success_is_quiet() {
        sh("true").1.unwrap();
    }
}
