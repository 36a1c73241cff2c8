//! Arguments of the `rig` program.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::bench::run::Name;
use crate::plan::address::MAX_NODES;
use crate::plan::choice::{Component, Origin, Use};

/// A Kubernetes cluster on this machine, each of whose components is ours or upstream's.
#[derive(Debug, Parser)]
#[command(name = "rig")]
pub struct Args {
    /// State folder; one rig lives in each [default: target/rig].
    #[arg(long, global = true, env = "STEERSMAN_RIG", value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a cluster and wait until it is Ready.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_NODES)))]
        nodes: u8,
        /// Whose program plays a component: COMPONENT=ours|upstream or NODE:COMPONENT=...; components are kubelet,
        /// scheduler, proxy, controllers, all. Everything is ours unless said otherwise.
        #[arg(long = "use", value_name = "CHOICE", value_delimiter = ',')]
        uses: Vec<Use>,
        /// Folder of our programs [default: where rig is, or target/release].
        #[arg(long, env = "STEERSMAN_BIN", value_name = "FOLDER")]
        bin_dir: Option<PathBuf>,
    },
    /// Make what a cluster needs of upstream's: programs and images. `up` does it too.
    #[command(alias = "build")]
    Assets {
        /// Only these: etcd, kubelet, agnhost, ...
        names: Vec<String>,
    },
    /// Show what runs, whose it is, and what it takes.
    Status,
    /// End the cluster and remove every trace of it.
    Down,
    /// Let the other side's program take over a component of the running cluster.
    Swap {
        #[arg(required_unless_present = "soak")]
        component: Option<Component>,
        /// `ours` or `upstream`.
        #[arg(required_unless_present = "soak")]
        origin: Option<Origin>,
        /// Only on this node.
        #[arg(long)]
        node: Option<String>,
        /// For this many minutes, swap and kill components at random under a workload, and count what that costs.
        #[arg(long, value_name = "MINUTES", conflicts_with_all = ["component", "origin", "node"])]
        soak: Option<u32>,
        /// Of the soak's steps.
        #[arg(long, default_value_t = 1, requires = "soak")]
        seed: u64,
        /// Where the soak's counts go [default: docs/soak.md of the checkout].
        #[arg(long, requires = "soak")]
        page: Option<PathBuf>,
    },
    /// Start a component again, from its file as it is now.
    Restart {
        component: Component,
        /// Only on this node.
        #[arg(long)]
        node: Option<String>,
        /// Flags after the usual ones, until the next restart: `-- --v=5`.
        #[arg(last = true)]
        flags: Vec<String>,
    },
    /// Run kubectl on the cluster.
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Show the log of a component or of another program (etcd, kube-apiserver, containerd, supervisor).
    Logs {
        program: String,
        #[arg(long)]
        node: Option<String>,
        /// Keep showing what is added.
        #[arg(short, long)]
        follow: bool,
        /// Start this many lines before the end.
        #[arg(long, default_value_t = 100)]
        tail: u32,
    },
    /// Measure ours and upstream's side by side, and write down what they come to.
    ///
    /// Benchmarks of node programs use the rig that is up, or make one; the others start a control plane of their own.
    Bench(Bench),
    /// Run upstream's conformance tests.
    Conformance(Conformance),
    /// Run a command on a node, or on the control plane's machine (cp).
    Exec {
        machine: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Which: one or several, or `all`, which takes 25 minutes.
    #[arg(required = true)]
    pub names: Vec<Name>,
    /// How often both sides are measured, if there is time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Minutes for each benchmark, instead of its own: no round begins that would end later; one there is always.
    #[arg(long, value_name = "MINUTES")]
    pub budget: Option<u64>,
    /// A share of the work, for a try: 0.1. Its figures are worth nothing, and no page is written unless it is named.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Page whose sections are replaced [default: docs/benchmarks.md of the checkout].
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Fail if a target is missed.
    #[arg(long)]
    pub check: bool,
    /// Folder of our programs [default: the rig's; else where rig is, or target/release].
    #[arg(long, env = "STEERSMAN_BIN", value_name = "FOLDER")]
    pub bin_dir: Option<PathBuf>,
}

/// All of them, unless options choose; a test has to be right by all that is asked for.
#[derive(Debug, Default, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line.
pub struct Conformance {
    /// Whose program plays a component, as in `up`: `all=upstream,kubelet=ours`.
    #[arg(long = "use", value_name = "CHOICE", value_delimiter = ',')]
    pub uses: Vec<Use>,
    /// How many nodes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_NODES)))]
    pub nodes: u8,
    /// Folder of our programs [default: where rig is, or target/release].
    #[arg(long, env = "STEERSMAN_BIN", value_name = "FOLDER")]
    pub bin_dir: Option<PathBuf>,
    /// A new rig, whatever is up.
    #[arg(long)]
    pub fresh: bool,
    /// Tests whose names match; repeated, any of them.
    #[arg(long, value_name = "REGEX")]
    pub focus: Vec<regex::Regex>,
    /// Not tests whose names match.
    #[arg(long, value_name = "REGEX")]
    pub skip: Vec<regex::Regex>,
    /// Tests that a file names, one a line.
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Tests of a group: node, sig-network, ...
    #[arg(long, value_delimiter = ',')]
    pub sig: Vec<String>,
    /// So many, drawn by --seed.
    #[arg(long, value_name = "N")]
    pub sample: Option<usize>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Tests whose last result is a failure.
    #[arg(long)]
    pub failed: bool,
    /// Only tests that run beside others.
    #[arg(long, conflicts_with = "serial")]
    pub parallel: bool,
    /// Only tests that run alone.
    #[arg(long)]
    pub serial: bool,
    /// How many tests run at a time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub procs: u32,
    /// How often a test that fails is run again [default: 0, with --check 1].
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Go on with the run that was broken off.
    #[arg(long)]
    pub resume: bool,
    /// Only say what would be run.
    #[arg(long)]
    pub dry_run: bool,
    /// The tests that run beside others and that e2e/conformance/passing.txt names: fail if one does.
    #[arg(long)]
    pub check: bool,
    /// With --check: run those that it does not name too, and add those that pass.
    #[arg(long, requires = "check")]
    pub update: bool,
    /// Only make the page of results anew [default of --page: docs/conformance.md of the checkout].
    #[arg(long)]
    pub report: bool,
    #[arg(long, requires = "report")]
    pub page: Option<PathBuf>,
    /// Folder of results [default: conformance in the state folder].
    #[arg(long, value_name = "FOLDER")]
    pub results: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn choices_are_separated_by_commas_or_repeated() {
        let args = Args::parse_from([
            "rig",
            "up",
            "--use",
            "kubelet=upstream,proxy=ours",
            "--use",
            "n1:kubelet=ours",
        ]);
        let Command::Up { nodes, uses, .. } = args.command else {
            panic!("not up")
        };
        assert_eq!(nodes, 2);
        assert_eq!(uses.len(), 3);
        assert_eq!(uses[2].node.as_deref(), Some("n1"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in [
            "rig up --nodes 0",
            "rig up --use kublet=ours",
            "rig swap kubelet theirs",
            "rig exec n1",
            "rig bench",
            "rig bench pod",
            "rig bench pods --rounds 0",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_command_on_a_node_keeps_its_own_flags() {
        let args = Args::parse_from(["rig", "exec", "n1", "--", "ip", "-6", "addr"]);
        let Command::Exec { machine, command } = args.command else {
            panic!("not exec")
        };
        assert_eq!(
            (machine.as_str(), command.join(" ").as_str()),
            ("n1", "ip -6 addr")
        );
    }
}
