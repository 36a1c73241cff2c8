//! One function a command.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::args::{Args, Bench, Command};
use super::status;
use crate::assets;
use crate::bench::run;
use crate::cluster::progress::Progress;
use crate::cluster::swap::Change;
use crate::cluster::{down, swap, up, upstream};
use crate::machine::{launch, preflight};
use crate::places;
use crate::plan::choice::{Component, Use};
use crate::plan::site::{Folder, Site};
use crate::print::print;
use crate::soak;
use crate::state::{State, replace};
use crate::supervisor::record::supervisor;

pub fn run(args: Args) -> Result<ExitCode> {
    let folder = places::state(args.state)?;
    match args.command {
        Command::Up { nodes, uses, bin_dir } => make(folder, nodes, uses, bin_dir)?,
        Command::Assets { names } => {
            upstream::ensure_named(&places::assets()?, &names, &assets::Terminal::default())?;
        }
        Command::Status => status::show(&folder)?,
        Command::Down => {
            let there = down::down(&folder)?;
            let word = if there { "is gone" } else { "was not there" };
            eprintln!("the rig in {} {word}", folder.root().display());
        }
        Command::Swap {
            soak: Some(minutes),
            seed,
            page,
            ..
        } => return soak(&folder, minutes, seed, page),
        Command::Swap {
            component: Some(component),
            origin: Some(origin),
            node,
            ..
        } => {
            let work = swap::swap(
                &folder,
                component,
                Change::To(origin),
                node.as_deref(),
                Progress::new(),
            );
            runtime()?.block_on(work)?;
        }
        Command::Swap { .. } => bail!("swap needs a component and a side: rig swap kubelet upstream"),
        Command::Restart {
            component,
            node,
            flags,
        } => {
            let work = swap::swap(
                &folder,
                component,
                Change::Restart(flags),
                node.as_deref(),
                Progress::new(),
            );
            runtime()?.block_on(work)?;
        }
        Command::Bench(args) => bench(folder, args)?,
        Command::Conformance(options) => return super::conformance::run(folder, options),
        Command::Kubectl { args } => return kubectl(&folder, &args),
        Command::Logs {
            program,
            node,
            follow,
            tail,
        } => return logs(&folder, &program, node, follow, tail),
        Command::Exec { machine, command } => return exec(&folder, &machine, &command),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime")
}

fn make(folder: Folder, nodes: u8, uses: Vec<Use>, bin_dir: Option<PathBuf>) -> Result<()> {
    preflight::root()?;
    let site = Site {
        folder,
        ours: places::ours(bin_dir)?,
    };
    up::check(&site, &uses, nodes)?;
    let assets = upstream::ensure(&places::assets()?, &assets::Terminal::default())?;
    let rig = std::env::current_exe().context("finding this program")?;
    let options = up::Options {
        site,
        assets,
        rig,
        nodes,
        uses,
    };
    let state = runtime()?.block_on(up::up(&options, Progress::new()))?;
    let here = std::env::current_dir().unwrap_or_default();
    let guide = up::guide(&options.site, &options.rig, &state, &here);
    print(&format!("\n{}{guide}", status::nodes(&options.site.folder)?))
}

fn bench(folder: Folder, args: Bench) -> Result<()> {
    preflight::root()?;
    let page = match args.page {
        Some(page) => Some(page),
        None if args.scale < 1.0 => None,
        None => Some(places::checkout()?.join("docs/benchmarks.md")),
    };
    let options = run::Options {
        folder,
        bin_dir: args.bin_dir,
        names: args.names,
        rounds: args.rounds,
        budget: args.budget.map(|minutes| Duration::from_secs(60 * minutes)),
        scale: args.scale,
        page,
        check: args.check,
    };
    runtime()?.block_on(run::run(&options, Progress::new()))
}

fn soak(folder: &Folder, minutes: u32, seed: u64, page: Option<PathBuf>) -> Result<ExitCode> {
    preflight::root()?;
    let plan = soak::Plan {
        length: Duration::from_secs(u64::from(minutes) * 60),
        seed,
    };
    let report = soak::run(folder, plan, Progress::new())?;
    let text = report.page();
    print(&text)?;
    let page = match page {
        Some(page) => page,
        None => places::checkout()?.join("docs/soak.md"),
    };
    replace(&page, text.as_bytes())?;
    replace(
        &folder.root().join("soak.json"),
        &serde_json::to_vec_pretty(&report)?,
    )?;
    Ok(if report.clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn kubectl(folder: &Folder, args: &[String]) -> Result<ExitCode> {
    State::expect(folder)?;
    let error = Process::new(folder.upstream().join("kubectl"))
        .args(args)
        .env("KUBECONFIG", folder.kubeconfig())
        .exec();
    Err(error).context("running kubectl")
}

fn logs(folder: &Folder, program: &str, node: Option<String>, follow: bool, tail: u32) -> Result<ExitCode> {
    let program = program
        .parse::<Component>()
        .map_or_else(|_| program.to_owned(), |known| known.program().to_owned());
    let name = node.map_or_else(|| program.clone(), |node| format!("{program}@{node}"));
    let log = folder.log(&name);
    if !log.exists() {
        let there: Vec<String> = std::fs::read_dir(folder.logs())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                entry
                    .path()
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
            })
            .collect();
        bail!(
            "there is no log of {name}; there are those of: {}",
            there.join(", ")
        );
    }
    let mut command = Process::new("tail");
    command.arg("-n").arg(tail.to_string());
    if follow {
        command.arg("-F");
    }
    Err(command.arg(log).exec()).context("running tail")
}

fn exec(folder: &Folder, machine: &str, command: &[String]) -> Result<ExitCode> {
    preflight::root()?;
    let site = State::expect(folder)?.site(folder.clone());
    let machines = up::machines(&site)?;
    let Some(first) = machines.get(machine) else {
        let names: Vec<&str> = machines.keys().map(String::as_str).collect();
        bail!("there is no machine {machine}: there are {}", names.join(", "));
    };
    let status = launch::attached(
        &supervisor(folder)?,
        *first,
        &site.programs_cgroup(machine),
        command,
    )?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
