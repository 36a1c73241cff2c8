//! The soak itself.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::census::{self, Census};
use super::report::Report;
use super::step::{Dice, Step};
use super::workload::Workload;
use crate::cluster::progress::Progress;
use crate::plan::choice::{Choices, Component, Origin};
use crate::plan::site::Folder;
use crate::rig::{Rig, eventually};
use crate::state::State;

/// The workload is stirred before every so many steps.
const STIR: u32 = 3;

/// How long, and which steps.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub length: Duration,
    pub seed: u64,
}

/// Soaks the rig in `folder`, which has to be up, and leaves every component where it was.
///
/// Before it counts, it has run each side's programs on each node: upstream's kubelet leaves chains behind that say which
/// iptables is in use (`KUBE-IPTABLES-HINT`, `KUBE-KUBELET-CANARY`), once a node and for good.
///
/// # Errors
/// If the soak could not be held; what went wrong in it is in the report.
pub fn run(folder: &Folder, plan: Plan, progress: Progress) -> Result<Report> {
    let rig = Rig::attached(folder)?;
    let state = State::expect(folder)?;
    let nodes = crate::plan::address::node_names(state.nodes);
    progress.say("each side's programs on each node once");
    for origin in [Origin::Upstream, Origin::Ours] {
        for component in Component::ALL {
            swap_all(&rig, component, &nodes, |_| origin)?;
        }
    }
    back(&rig, &state.choices, &nodes)?;
    let before = settled(&rig, &nodes)?;
    let space = rig.namespace("soak")?;
    let mut workload = Workload::start(&space, &nodes)?;
    let still = workload.still(&rig)?;
    progress.say(&format!("{} containers are not to notice anything", still.len()));

    let mut report = Report {
        seed: plan.seed,
        seconds: plan.length.as_secs(),
        ..Report::default()
    };
    let mut dice = Dice::new(plan.seed, state.nodes);
    let interrupts = interrupts()?;
    let begun = Instant::now();
    let until = begun + plan.length;
    for number in 0_u32.. {
        let choices = State::expect(folder)?.choices;
        let (pause, step) = dice.roll(&choices);
        let pause = pause.min(until.saturating_duration_since(Instant::now()));
        if interrupts.recv_timeout(pause).is_ok() {
            progress.say("interrupted: everything is put back; what was counted so far is told");
            report.seconds = begun.elapsed().as_secs();
            break;
        }
        if Instant::now() >= until {
            break;
        }
        if number.is_multiple_of(STIR) {
            workload.stir()?;
            report.jobs += 1;
        }
        let outcome = take(&rig, &step);
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        let word = match &outcome {
            Ok(()) => String::new(),
            Err(error) => format!(": {error:#}"),
        };
        progress.say(&format!("{step}{word}; {left} s left"));
        if let Err(error) = outcome {
            report.broken_steps.push(format!("{step}: {error:#}"));
        }
        *report.steps.entry(kind(&step)).or_default() += 1;
    }

    back(&rig, &state.choices, &nodes)?;
    report.lost = workload.lost()?;
    (report.answers, report.failed_requests) = workload.requests()?;
    report.restarted = changed(&still, &workload.still(&rig)?);
    workload.end(&rig)?;
    drop(space);
    for node in &nodes {
        let leaks = left_behind(&rig, node, &before[node])?;
        if !leaks.is_empty() {
            report.leaks.insert(node.clone(), leaks);
        }
    }
    Ok(report)
}

/// A message an interrupt at the terminal.
fn interrupts() -> Result<Receiver<()>> {
    let (tell, told) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("starting a runtime")?;
    std::thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(move || {
            runtime
                .block_on(async { while tokio::signal::ctrl_c().await.is_ok() && tell.send(()).is_ok() {} });
        })
        .context("starting a thread")?;
    Ok(told)
}

fn kind(step: &Step) -> String {
    let done = match step {
        Step::Swap { to, .. } => format!("swapped to {to}"),
        Step::Kill { .. } => "killed".to_owned(),
    };
    format!("{} {done}", step.component())
}

fn take(rig: &Rig, step: &Step) -> Result<()> {
    match step {
        Step::Swap {
            component,
            machine,
            to,
        } => swap(rig, *component, machine, *to),
        Step::Kill { component, machine } => {
            let before = rig.program(*component, machine)?;
            rig.kill(*component, machine)?;
            eventually(
                &format!("{} is back", before.instance),
                Duration::from_secs(30),
                || {
                    let now = rig.program(*component, machine)?;
                    ensure!(now.pid.is_some() && now.starts > before.starts, "{now:?}");
                    Ok(())
                },
            )
        }
    }
}

fn swap(rig: &Rig, component: Component, machine: &str, to: Origin) -> Result<()> {
    let node = component.on_nodes().then_some(machine);
    rig.swap_quietly(component, to, node)
}

/// Puts every component back to where it was.
fn back(rig: &Rig, choices: &Choices, nodes: &[String]) -> Result<()> {
    for component in Component::ALL {
        swap_all(rig, component, nodes, |machine| {
            choices.origin(component, machine)
        })?;
    }
    Ok(())
}

fn swap_all(rig: &Rig, component: Component, nodes: &[String], to: impl Fn(&str) -> Origin) -> Result<()> {
    let machines = rig.machines(component);
    for machine in machines
        .iter()
        .filter(|m| !component.on_nodes() || nodes.contains(m))
    {
        let to = to(machine);
        swap(rig, component, machine, to).with_context(|| format!("swapping {component} to {to}"))?;
    }
    Ok(())
}

fn changed(before: &BTreeMap<String, (String, u64)>, after: &BTreeMap<String, (String, u64)>) -> Vec<String> {
    before
        .iter()
        .filter(|(name, seen)| after.get(*name) != Some(seen))
        .map(|(name, (id, restarts))| match after.get(name) {
            None => format!("{name} is gone"),
            Some((now, count)) => format!("{name} was {id} ({restarts} restarts), is {now} ({count})"),
        })
        .collect()
}

/// A census of each node, taken when it has stopped changing.
fn settled(rig: &Rig, nodes: &[String]) -> Result<BTreeMap<String, Census>> {
    let all = || {
        nodes
            .iter()
            .map(|node| Ok((node.clone(), census::take(rig, node)?)))
            .collect::<Result<BTreeMap<_, _>>>()
    };
    let mut last = all()?;
    eventually("the nodes are at rest", Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_secs(3));
        let now = all()?;
        let same = now == last;
        last = now;
        ensure!(same, "something still changes");
        Ok(())
    })?;
    Ok(last)
}

/// What is more on `node` than `before`, once it has had the time to clean up.
fn left_behind(rig: &Rig, node: &str, before: &Census) -> Result<Census> {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let leaks = census::leaks(before, &census::take(rig, node)?);
        if leaks.is_empty() || Instant::now() > until {
            return Ok(leaks);
        }
        std::thread::sleep(Duration::from_secs(3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_another_or_gone_has_changed() {
        let seen = |items: &[(&str, &str, u64)]| {
            items
                .iter()
                .map(|(name, id, restarts)| ((*name).to_owned(), ((*id).to_owned(), *restarts)))
                .collect::<BTreeMap<_, _>>()
        };
        let before = seen(&[("a", "1", 0), ("b", "2", 0), ("c", "3", 1)]);
        let after = seen(&[("a", "1", 0), ("b", "9", 1), ("d", "4", 0)]);
        let changed = changed(&before, &after);
        assert_eq!(changed, ["b was 2 (0 restarts), is 9 (1)", "c is gone"]);
    }
}
