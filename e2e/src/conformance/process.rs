//! Processes of the suite: their command line, and how they are started on the control plane's machine.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::catalogue::Test;
use super::ginkgo;
use super::queue::Process;
use crate::logs;
use crate::machine::{enter, launch};

/// The order of the suite follows from it.
const SEED: u32 = 1;

/// Which tests a process knows as its own to run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share<'a> {
    /// Those that it is handed.
    Handed,
    /// These, which are in no unit, one after the other.
    Alone(&'a [Test]),
}

/// The suite, and the cluster that it is for.
#[derive(Clone, Debug)]
pub(super) struct Suite {
    /// `e2e.test`.
    pub(super) program: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) nodes: u8,
}

fn common(process: Process, total: u32, address: &str) -> Vec<String> {
    vec![
        format!("--ginkgo.seed={SEED}"),
        "--ginkgo.no-color".to_owned(),
        "--ginkgo.timeout=24h".to_owned(),
        "--ginkgo.output-interceptor-mode=none".to_owned(),
        format!("--ginkgo.parallel.process={process}"),
        format!("--ginkgo.parallel.total={total}"),
        format!("--ginkgo.parallel.host={address}"),
    ]
}

/// What the suite is told of the cluster. Tests come and go with it, and so does the suite's order.
pub(super) fn settings(nodes: u8) -> Vec<String> {
    vec![
        "--provider=skeleton".to_owned(),
        "--node-os-distro=custom".to_owned(),
        "--allowed-not-ready-nodes=0".to_owned(),
        format!("--num-nodes={nodes}"),
        "--disable-log-dump".to_owned(),
    ]
}

impl Suite {
    /// A process that is told to be the first of two and to skip every test. It needs no cluster.
    pub(super) fn skipping(program: &Path, nodes: u8, address: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(common(1, 2, address))
            .arg("--ginkgo.skip=.")
            .args(settings(nodes))
            .env(ginkgo::PROTOCOL.0, ginkgo::PROTOCOL.1);
        command
    }

    pub(super) fn argv(&self, process: Process, total: u32, address: &str, share: Share<'_>) -> Vec<String> {
        let show = |path: &Path| path.display().to_string();
        let mut argv = vec![show(&self.program)];
        argv.extend(common(process, total, address));
        match share {
            Share::Handed => argv.extend([
                r"--ginkgo.focus=\[Conformance\]".to_owned(),
                r"--ginkgo.skip=\[Serial\]".to_owned(),
            ]),
            Share::Alone(tests) => {
                let names: Vec<String> = tests.iter().map(|test| regex::escape(&test.name)).collect();
                argv.push(format!("--ginkgo.focus=({})$", names.join("|")));
            }
        }
        argv.extend([
            format!("--kubeconfig={}", show(&self.kubeconfig)),
            format!("--kubectl-path={}", show(&self.kubectl)),
        ]);
        argv.extend(settings(self.nodes));
        argv
    }
}

/// Where processes run.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The `rig` program that the supervisor runs.
    pub(super) rig: PathBuf,
    /// First process of the control plane's machine.
    pub(super) machine: u32,
    pub(super) cgroup: String,
}

/// Starts `argv`; `ended` is called, on a thread of its own, when it has ended.
pub(super) fn start(
    site: &Site,
    argv: &[String],
    log: &Path,
    ended: impl FnOnce(Result<ExitStatus>) + Send + 'static,
) -> Result<()> {
    let output = logs::open(log)?;
    let errors = output.try_clone().context("duplicating a log file")?;
    let mut command = launch::command(&site.rig, site.machine, &site.cgroup, argv);
    command
        .env(ginkgo::PROTOCOL.0, ginkgo::PROTOCOL.1)
        .env(launch::BOUND, "1")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // An interrupt at the terminal is for us: they clean up when we tell them to end.
        .process_group(0);
    let machine = site.machine;
    std::thread::Builder::new()
        .name("e2e.test".to_owned())
        .spawn(move || {
            let mut run = || -> Result<ExitStatus> {
                enter::children_into(machine)?;
                let mut child = command.spawn().context("starting e2e.test")?;
                child.wait().context("waiting for e2e.test")
            };
            ended(run());
        })
        .context("starting a thread")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_tests_are_chosen_by_their_whole_names() {
        let suite = Suite {
            program: "/a/e2e.test".into(),
            kubectl: "/a/kubectl".into(),
            kubeconfig: "/s/admin.kubeconfig".into(),
            nodes: 2,
        };
        let test = |name: &str| Test {
            name: name.to_owned(),
            unit: None,
        };
        let tests = [
            test("[sig-apps] Daemon set [Serial] runs (a.b)"),
            test("[x] other"),
        ];
        let argv = suite.argv(1, 2, "http://127.0.0.1:1/1", Share::Alone(&tests));
        let focus = argv
            .iter()
            .find_map(|arg| arg.strip_prefix("--ginkgo.focus="))
            .unwrap();
        let focus = regex::Regex::new(focus).unwrap();
        assert!(focus.is_match("Kubernetes e2e suite [sig-apps] Daemon set [Serial] runs (a.b)"));
        assert!(!focus.is_match("Kubernetes e2e suite [sig-apps] Daemon set [Serial] runs (a.b) twice"));
        assert!(!focus.is_match("Kubernetes e2e suite [sig-apps] Daemon set [Serial] runs (aXb)"));

        let argv = suite.argv(3, 10, "http://127.0.0.1:1/3", Share::Handed);
        assert!(argv.contains(&"--ginkgo.parallel.process=3".to_owned()));
        assert!(argv.contains(&r"--ginkgo.skip=\[Serial\]".to_owned()));
    }
}
