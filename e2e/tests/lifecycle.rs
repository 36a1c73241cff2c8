//! A rig beside another, killed, and taken down: nothing of it stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::machine::cgroup::Hierarchies;
use e2e::plan::identity::RigId;
use e2e::rig::{eventually, shared};

const RIG: &str = env!("CARGO_BIN_EXE_rig");

fn rig(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(RIG);
    command
        .env("STEERSMAN_RIG", state)
        .args(args)
        .stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn must(mut command: Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(said(&output))
}

/// No process, cgroup, mount, link or file of the rig in `state`.
fn nothing_is_left(state: &Path) -> Result<()> {
    let cgroup = RigId::of(state).cgroup();
    ensure!(!Hierarchies::find()?.exists(&cgroup), "cgroup {cgroup} is left");
    ensure!(!state.exists(), "{} is left", state.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(
        !mounts.contains(&state.display().to_string()),
        "mounts are left:\n{mounts}"
    );
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        ensure!(
            !line.contains(&state.display().to_string()),
            "a process is left: {line}"
        );
    }
    Ok(())
}

fn up(state: &Path) -> Result<Child> {
    let mut command = rig(state, &["up", "--nodes", "1", "--use", "all=upstream"]);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
}

#[test]
fn a_second_rig_lives_beside_the_first_and_leaves_nothing_however_it_ends() -> Result<()> {
    let first = shared(RIG)?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().canonicalize()?.join("a rig");
    let sysctl = || fs::read_to_string("/proc/sys/vm/overcommit_memory");
    let before = sysctl()?;

    // Killed on its way, at several points.
    for millis in [30, 400, 4000] {
        let mut killed = up(&state)?;
        std::thread::sleep(Duration::from_millis(millis));
        killed.kill()?;
        killed.wait()?;
        must(rig(&state, &["down"]))?;
        nothing_is_left(&state)?;
    }

    let output = up(&state)?.wait_with_output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let nodes = must(rig(&state, &["kubectl", "get", "nodes", "-o", "name"]))?;
    ensure!(nodes == "node/n1\n", "{nodes}");
    ensure!(
        first.kubectl().list(&["nodes"])?.len() == 2,
        "the first rig has other nodes now"
    );
    let refused = rig(&state, &["up", "--use", "all=upstream"]).output()?;
    ensure!(
        !refused.status.success() && said(&refused).contains("rig down"),
        "{}",
        said(&refused)
    );
    let status = must(rig(&state, &["status"]))?;
    ensure!(
        status.contains("kubelet@n1") && status.contains("upstream"),
        "{status}"
    );

    // Without its supervisor, nobody would end the rest.
    let record = fs::read_to_string(state.join("supervisor.json"))?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    let supervisor = record["supervisor"]["pid"].to_string();
    must({
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &supervisor]);
        kill
    })?;
    must(rig(&state, &["down"]))?;
    nothing_is_left(&state)?;
    ensure!(sysctl()? == before, "a setting of the machine has changed");
    ensure!(must(rig(&state, &["down"]))?.contains("was not there"));
    eventually("the first rig works still", Duration::from_secs(10), || {
        first.kubectl().run(&["get", "--raw", "/readyz"]).map(drop)
    })
}

#[test]
fn without_root_it_says_what_it_needs_and_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let copy = folder.path().join("rig");
    // By another program: were it open for writing here, a child of another test might hold it open.
    must({
        let mut install = Command::new("install");
        install.arg(RIG).arg(&copy);
        install
    })?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["up", "--use", "all=upstream"]);
    let output = command
        .env("STEERSMAN_RIG", folder.path().join("state"))
        .current_dir("/")
        .output()?;
    let said = said(&output);
    ensure!(!output.status.success(), "{said}");
    for word in ["needs root", "namespaces", "cgroups", "sudo"] {
        ensure!(said.contains(word), "it does not say {word:?}: {said}");
    }
    Ok(())
}
