//! The first process of a machine: sets up what is private to it, then reaps what is orphaned in it.

use std::ffi::{CString, OsString};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    unmount,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};

use super::cgroup::Hierarchies;
use crate::plan::mounts::{Machine, Step};

/// Command-line word of a machine's first process.
pub const WORD: &str = "__init";

/// Runs as process 1 of fresh namespaces; the one argument is a file that holds a [`Machine`] in JSON.
pub fn run(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [file] = args else {
        bail!("{WORD} is for the rig's own use")
    };
    let text = fs::read(file).with_context(|| format!("reading {}", Path::new(file).display()))?;
    let machine: Machine = serde_json::from_slice(&text).context("reading a machine's description")?;
    // The old /proc is still mounted, so this is the id outside.
    let pid = fs::read_link("/proc/self").context("reading /proc/self")?;
    Hierarchies::find()?.join(&machine.cgroup)?;
    for step in &machine.steps {
        take(step).with_context(|| format!("machine {}: {step:?}", machine.name))?;
    }
    rustix::system::sethostname(machine.name.as_bytes()).context("setting the host name")?;
    let partial = machine.ready.with_extension("partial");
    fs::write(&partial, pid.as_os_str().as_encoded_bytes())
        .and_then(|()| fs::rename(&partial, &machine.ready))
        .with_context(|| format!("writing {}", machine.ready.display()))?;
    reap()
}

fn take(step: &Step) -> Result<()> {
    let none = MountFlags::empty();
    match step {
        Step::MakeFolder(path) => fs::create_dir_all(path)?,
        Step::Tmpfs(at) => mount("tmpfs", at, "tmpfs", none, Some(c"mode=755"))?,
        Step::Fresh { kind, at } => mount(kind, at, kind, none, None)?,
        Step::Overlay { at, upper, work } => overlay(at, upper, work)?,
        Step::Bind { from, at } => mount_bind(from, at)?,
        Step::BindTree { from, at } => mount_bind_recursive(from, at)?,
        Step::Detach(at) => unmount(at, UnmountFlags::DETACH)?,
        Step::File { at, text } => {
            let _ = fs::remove_file(at);
            fs::write(at, text)?;
        }
        Step::Setting { at, value } => {
            if at.exists() {
                fs::write(at, value)?;
            }
        }
        Step::Pretend { at, value, file } => {
            if at.exists() {
                fs::write(file, format!("{value}\n"))?;
                mount_bind(file, at)?;
            }
        }
        Step::Share => mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?,
    }
    Ok(())
}

/// Overlay options separate paths by commas and colons: those of the state folder are given relative to where we are.
fn overlay(at: &Path, upper: &Path, work: &Path) -> Result<()> {
    let folder = upper.parent().context("an overlay's upper folder has a parent")?;
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at.display(),
        name(upper),
        name(work)
    );
    let before = std::env::current_dir()?;
    std::env::set_current_dir(folder)?;
    let done = mount(
        "overlay",
        at,
        "overlay",
        MountFlags::empty(),
        Some(CString::new(options)?.as_c_str()),
    );
    std::env::set_current_dir(before)?;
    Ok(done?)
}

fn reap() -> Result<std::convert::Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut children = signal(SignalKind::child())?;
        loop {
            while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
            children.recv().await;
        }
    })
}
