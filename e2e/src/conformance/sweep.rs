//! What a run leaves that does not end well: its processes, and the namespaces of its tests.
//!
//! A run that is killed can clean nothing up. So a process stands by that does when the run's end of a pipe closes,
//! unless the run said that there is nothing to do.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::machine::cgroup::Hierarchies;
use crate::plan::site::Folder;
use crate::rig::Kubectl;

/// Command-line word of the process that stands by.
pub const WORD: &str = "__sweep";

/// What a run that ended well writes.
const DONE: &[u8] = b"done";

pub(super) const GO_ON: &str = "the same command with --resume goes on";

/// The cgroup of the suite's processes, and of what they start.
pub(super) fn cgroup(folder: &Folder) -> String {
    format!("{}/conformance", folder.id().cgroup())
}

/// Ends the suite's processes, however they are.
pub(super) fn end(folder: &Folder) -> Result<()> {
    Hierarchies::find()?.clear(&cgroup(folder), Duration::from_secs(20))
}

/// Ends processes, then removes the namespaces of tests; those that stay are told of, for only `--fresh` helps.
pub(super) fn sweep(folder: &Folder) -> Result<()> {
    end(folder)?;
    let gone = Kubectl::new(folder).run(&[
        "delete",
        "namespace",
        "--selector=e2e-framework",
        "--ignore-not-found",
        "--timeout=120s",
    ]);
    if let Err(error) = gone {
        eprintln!("namespaces of tests stay (--fresh makes a new rig): {error:#}");
    }
    Ok(())
}

/// The process that stands by.
pub(super) struct Sweeper(Child);

impl Sweeper {
    pub(super) fn start(rig: &Path, folder: &Folder) -> Result<Self> {
        let child = Command::new(rig)
            .arg(WORD)
            .arg(folder.root())
            .stdin(Stdio::piped())
            // An interrupt at the terminal is for the run.
            .process_group(0)
            .spawn()
            .context("starting the process that cleans up after a run that is killed")?;
        Ok(Self(child))
    }

    /// There is nothing to do for it.
    pub(super) fn dismiss(mut self) -> Result<()> {
        if let Some(mut pipe) = self.0.stdin.take() {
            // It may have been ended from outside.
            let _ = pipe.write_all(DONE);
        }
        self.0
            .wait()
            .context("waiting for the process that stood by")
            .map(drop)
    }
}

/// The hidden step: `folder`. Ends when its standard input does.
pub fn run(args: &[OsString]) -> Result<Infallible> {
    let [folder] = args else {
        bail!("{WORD} is for the rig's own use")
    };
    let mut said = Vec::new();
    std::io::stdin()
        .read_to_end(&mut said)
        .context("waiting for the run to end")?;
    if said != DONE {
        eprintln!("rig: the run was killed; its tests are being ended");
        sweep(&Folder::new(folder.into()))?;
        eprintln!("rig: tests and their namespaces are gone; {GO_ON}");
    }
    std::process::exit(0)
}
