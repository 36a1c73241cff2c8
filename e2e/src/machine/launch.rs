//! Starting a program on a machine: `rig` starts itself once more, joins what has to be joined, and becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, anyhow};

use super::cgroup::Hierarchies;
use super::enter;
use crate::plan::program::Program;

/// Command-line word of the hidden step in between.
pub const WORD: &str = "__launch";

/// Environment variable that makes the program end when the thread that started it does.
pub const BOUND: &str = "RIG_BOUND";

/// This program, also after its file was replaced.
pub fn own_program() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// The command that becomes `argv` on the machine whose first process is `machine`; `rig` is the `rig` program.
///
/// The calling thread must have called [`enter::children_into`] before it spawns it.
pub fn command(rig: &Path, machine: u32, cgroup: &str, argv: &[String]) -> Command {
    let mut command = Command::new(rig);
    command.arg(WORD).arg(machine.to_string()).arg(cgroup).args(argv);
    command
}

/// Starts `program`; the calling thread must have called [`enter::children_into`].
pub fn spawn(machine: u32, program: &Program) -> Result<Child> {
    let log = crate::logs::open(&program.log)?;
    let errors = log.try_clone().context("duplicating a log file")?;
    let mut command = command(&own_program(), machine, &program.cgroup, &program.argv);
    command
        .env_clear()
        .envs(program.env.iter().map(|(k, v)| (k, v)))
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    command
        .spawn()
        .with_context(|| format!("starting {}", program.instance))
}

/// The hidden step: `machine cgroup argv...`. Returns only if it fails.
pub fn run(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [machine, cgroup, program, rest @ ..] = args else {
        anyhow::bail!("{WORD} is for the rig's own use");
    };
    let (machine, cgroup) = (machine.to_string_lossy(), cgroup.to_string_lossy());
    Hierarchies::find()?.join(&cgroup)?;
    enter::process_into(machine.parse().context("reading a process id")?)?;
    if std::env::var_os(BOUND).is_some() {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .context("binding a program to its parent")?;
    }
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("running {}", program.to_string_lossy()))
}

/// Runs `argv` on the machine whose first process is `machine`, and collects what it says. Blocks.
pub fn output(rig: &Path, machine: u32, cgroup: &str, argv: &[String]) -> Result<Output> {
    on_machine(rig, machine, cgroup, argv, |mut command| {
        command
            .stdin(Stdio::null())
            .output()
            .context("running a command on a machine")
    })
}

/// Runs `argv` on the machine whose first process is `machine`, at the caller's terminal. Blocks.
pub fn attached(rig: &Path, machine: u32, cgroup: &str, argv: &[String]) -> Result<ExitStatus> {
    on_machine(rig, machine, cgroup, argv, |mut command| {
        command.status().context("running a command on a machine")
    })
}

fn on_machine<T: Send>(
    rig: &Path,
    machine: u32,
    cgroup: &str,
    argv: &[String],
    run: impl FnOnce(Command) -> Result<T> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter::children_into(machine)?;
            run(command(rig, machine, cgroup, argv))
        });
        thread
            .join()
            .map_err(|_| anyhow!("running a command on a machine panicked"))?
    })
}
