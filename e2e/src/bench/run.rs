//! `rig bench`: the benchmarks that were asked for, one after the other, each written down as soon as it is done.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::facts::Facts;
use super::report::Report;
use super::rounds::Rounds;
use super::table::{Table, Verdict};
use super::{controllers, idle, pods, proxy, scheduler, size};
use crate::assets;
use crate::cluster::progress::Progress;
use crate::cluster::{down, up, upstream};
use crate::places;
use crate::plan::choice::{Origin, Use};
use crate::plan::site::{Folder, Site};
use crate::print::print;
use crate::state::{Phase, State};
use crate::supervisor::record::Record;

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Memory and processor time of each program while nothing happens.
    Idle,
    /// Size of each program, and how long it takes to be healthy.
    Size,
    /// Pods on a node: one, a hundred, idle, and over a crash of the kubelet.
    Pods,
    /// The proxy: cold start, a change, a new Service.
    Proxy,
    /// The controller manager: Deployments, and memory.
    Controllers,
    /// The scheduler: 3,000 pods on 1,000 nodes, by kind of constraint.
    Scheduler,
    /// The scheduler's core alone, in this process: no API.
    SchedulerCore,
    /// The scheduler: 30,000 pods on 5,000 nodes. Not in `all`: it takes long.
    SchedulerLarge,
    /// All others.
    All,
}

impl Name {
    /// Those of `all`: first those that share a rig.
    const ORDER: [Self; 7] = [
        Self::Idle,
        Self::Size,
        Self::Pods,
        Self::Proxy,
        Self::Controllers,
        Self::Scheduler,
        Self::SchedulerCore,
    ];

    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    const fn on_rig(self) -> bool {
        matches!(self, Self::Idle | Self::Size | Self::Pods)
    }

    /// How long it may take: all of `all` in less than half an hour.
    const fn budget(self) -> Duration {
        Duration::from_secs(match self {
            Self::Idle => 240,
            Self::Size | Self::SchedulerCore => 60,
            Self::Pods => 420,
            Self::Proxy | Self::Controllers => 170,
            Self::Scheduler => 400,
            Self::SchedulerLarge => 3600,
            Self::All => 0,
        })
    }

    /// A side that takes longer in one round has failed.
    const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Idle | Self::Size | Self::SchedulerCore => 180,
            Self::Pods => 420,
            Self::Proxy | Self::Controllers => 240,
            Self::Scheduler => 600,
            Self::SchedulerLarge => 7200,
            Self::All => 0,
        })
    }
}

/// What was asked for.
pub struct Options {
    pub folder: Folder,
    /// Folder of our programs, for what needs no rig, or makes one.
    pub bin_dir: Option<PathBuf>,
    pub names: Vec<Name>,
    pub rounds: u32,
    /// Instead of each benchmark's own.
    pub budget: Option<Duration>,
    /// Share of the work, for a try.
    pub scale: f64,
    pub page: Option<PathBuf>,
    /// Whether a target that is missed is a failure.
    pub check: bool,
}

/// Runs them.
///
/// # Errors
/// If one cannot begin, if it is interrupted, or with `check`, if a target was missed.
pub async fn run(options: &Options, progress: Progress) -> Result<()> {
    let mut names: Vec<Name> = Vec::new();
    for name in &options.names {
        match name {
            Name::All => names.extend(Name::ORDER),
            other => names.push(*other),
        }
    }
    let mut made = false;
    let outcome = tokio::select! {
        outcome = sequence(options, &names, progress, &mut made) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!(
            "interrupted: what was finished is written down; `rig bench NAME` goes on with the rest"
        )),
    };
    if made {
        down::down(&options.folder)?;
    }
    outcome
}

async fn sequence(options: &Options, names: &[Name], progress: Progress, made: &mut bool) -> Result<()> {
    let mut missed = Vec::new();
    let mut broken = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let begun = std::time::Instant::now();
        let outcome = placed(options, *name, progress, made).await;
        let took = begun.elapsed().as_secs_f64();
        // An idle cluster is not idle enough to measure anything else beside it.
        if *made && !names.iter().skip(index + 1).any(|later| later.on_rig()) {
            down::down(&options.folder)?;
            *made = false;
        }
        let table = match outcome {
            Ok(table) => table,
            Err(error) => {
                progress.say(&format!("{}: failed after {took:.0} s: {error:#}", name.name()));
                broken.push(format!("{}: {error:#}", name.name()));
                continue;
            }
        };
        progress.say(&format!("{}: done in {took:.0} s", name.name()));
        let report = Report {
            bench: name.name(),
            facts: Facts::gather(),
            table,
        };
        report.write(&options.folder, options.page.as_deref())?;
        print(&format!("{}\n", report.section(None)))?;
        let of = |row: &&super::table::Row| matches!(row.verdict(), Verdict::Missed | Verdict::Failed);
        missed.extend(
            report
                .table
                .rows
                .iter()
                .filter(of)
                .map(|row| format!("{}: {}, {}", report.bench, row.case, row.measure)),
        );
    }
    if !broken.is_empty() {
        bail!("not measured:\n  {}", broken.join("\n  "));
    }
    if options.check && !missed.is_empty() {
        bail!("{} targets were missed:\n  {}", missed.len(), missed.join("\n  "));
    }
    Ok(())
}

/// One benchmark, in the place that it needs.
async fn placed(options: &Options, name: Name, progress: Progress, made: &mut bool) -> Result<Table> {
    let up = is_up(&options.folder)?;
    if name.on_rig() && !up {
        *made = true;
        make(options, progress).await?;
    } else if !name.on_rig() && up {
        progress.say("the rig that is up takes its share of the machine: better figures after `rig down`");
    }
    one(options, name, progress).await
}

async fn one(options: &Options, name: Name, progress: Progress) -> Result<Table> {
    let rounds = Rounds {
        count: options.rounds,
        budget: options.budget.unwrap_or(name.budget()),
        patience: name.patience(),
    };
    let folder = &options.folder;
    match name {
        Name::Idle => {
            let plan = idle::Plan::scaled(options.scale);
            idle::bench(folder, plan, rounds, progress).await
        }
        Name::Size => size::measure(folder, size::Plan::scaled(options.scale), rounds, progress).await,
        Name::Pods => pods::measure(folder, pods::Plan::scaled(options.scale), rounds, progress).await,
        Name::Proxy => {
            let plan = proxy::Plan::scaled(options.scale);
            proxy::measure(&ours(options)?, plan, rounds, progress).await
        }
        Name::Controllers => {
            let plan = controllers::Plan::scaled(options.scale);
            controllers::measure(&ours(options)?, plan, rounds, progress).await
        }
        Name::Scheduler => {
            let plan = scheduler::Plan::scaled(options.scale);
            scheduler::measure(&ours(options)?, plan, rounds, progress).await
        }
        Name::SchedulerCore => scheduler::measure_core(options.rounds, options.scale),
        Name::SchedulerLarge => {
            let plan = scheduler::Plan::scaled(options.scale);
            scheduler::measure_large(&ours(options)?, plan, rounds, progress).await
        }
        Name::All => bail!("`all` is made of others"),
    }
}

fn ours(options: &Options) -> Result<PathBuf> {
    places::ours(options.bin_dir.clone())
}

fn is_up(folder: &Folder) -> Result<bool> {
    let Some(state) = State::read(folder)? else {
        return Ok(false);
    };
    let supervisor = Record::read(&folder.supervisor_record())?.supervisor;
    Ok(state.phase == Phase::Up && supervisor.is_some_and(|supervisor| supervisor.alive()))
}

/// A rig of two nodes, upstream's but for what a benchmark swaps.
async fn make(options: &Options, progress: Progress) -> Result<()> {
    let site = Site {
        folder: options.folder.clone(),
        ours: places::ours(options.bin_dir.clone())?,
    };
    let uses = vec![Use {
        node: None,
        component: None,
        origin: Origin::Upstream,
    }];
    up::check(&site, &uses, NODES)?;
    let layout = places::assets()?;
    let ensured =
        tokio::task::spawn_blocking(move || upstream::ensure(&layout, &assets::Terminal::default()));
    let options = up::Options {
        site,
        assets: ensured.await??,
        rig: std::env::current_exe().context("finding this program")?,
        nodes: NODES,
        uses,
    };
    up::up(&options, Progress::quiet()).await?;
    progress.say("a rig is up");
    Ok(())
}

const NODES: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_end_within_half_an_hour() {
        let total: Duration = Name::ORDER.iter().map(|name| name.budget()).sum();
        assert!(total <= Duration::from_secs(27 * 60), "{total:?}");
        // One rig serves all that need one.
        let after = Name::ORDER.iter().skip_while(|name| name.on_rig());
        assert!(!after.into_iter().any(|name| name.on_rig()));
    }
}
