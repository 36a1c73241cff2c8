//! The `rig` program: arguments in, one command run, an exit status out.

mod args;
mod command;
mod conformance;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use machinery::component::runtime::told;

use crate::conformance::sweep;
use crate::machine::{init, launch};
use crate::plan::site::Folder;
use crate::registry;
use crate::supervisor::server;

/// Runs `rig`. Words that start with two underscores are its own inner steps, and are not in the help.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let word = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let inner = match word.to_str() {
        Some(launch::WORD) => Some(launch::run(&rest)),
        Some(init::WORD) => Some(init::run(&rest)),
        Some(server::WORD) => Some(supervise(&rest)),
        Some(registry::WORD) => Some(registry::run(&rest)),
        Some(sweep::WORD) => Some(sweep::run(&rest)),
        _ => None,
    };
    let outcome = match inner {
        Some(inner) => inner.map(|never| match never {}),
        None => command::run(args::Args::parse()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("rig: {}", told(&error));
        ExitCode::FAILURE
    })
}

fn supervise(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [folder, cgroup] = args else {
        anyhow::bail!("{} is for the rig's own use", server::WORD)
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    server::run(Folder::new(folder.into()), &cgroup.to_string_lossy())
}
