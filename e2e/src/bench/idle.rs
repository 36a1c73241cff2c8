//! What each program takes on an idle cluster: resident memory and processor time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::rounds::Rounds;
use super::summary::Summary;
use super::table::{Better, Table, Target};
use crate::cluster::progress::Progress;
use crate::cluster::swap::{self, Change};
use crate::machine::process::Usage;
use crate::plan::address::{CONTROL_PLANE, node_names};
use crate::plan::choice::{Component, Origin};
use crate::plan::site::Folder;
use crate::state::State;
use crate::supervisor::client::Supervisor;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Each round measures both sides.
    pub rounds: u32,
    /// Between the start of a side's programs and the measurement.
    pub settle: Duration,
    /// Measurements of each side in each round, and the length of each.
    pub samples: u32,
    pub measure: Duration,
}

impl Plan {
    /// As `rig bench idle` has it.
    pub fn scaled(scale: f64) -> Self {
        let (settle, measure) = if scale < 1.0 { (2, 1) } else { (8, 8) };
        Self {
            rounds: 1,
            settle: Duration::from_secs(settle),
            samples: 3,
            measure: Duration::from_secs(measure),
        }
    }
}

/// Samples of one side of one component: one a round and instance.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub mebibytes: Vec<f64>,
    pub millicores: Vec<f64>,
}

/// Samples by component and side.
pub type Results = BTreeMap<(Component, Origin), Samples>;

/// Measures as often as there is time for; `plan.rounds` does not count.
pub async fn bench(folder: &Folder, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let before = State::expect(folder)?;
    let mut results = Results::new();
    let mut failed = Table::default();
    rounds
        .run(&mut failed, "idle", progress, async |_, origin, _| {
            side(folder, origin, plan, &mut results).await
        })
        .await;
    put_back(folder, &before).await?;
    let mut table = table(&results, plan, before.nodes);
    table.failures = failed.failures;
    Ok(table)
}

async fn side(folder: &Folder, origin: Origin, plan: Plan, results: &mut Results) -> Result<()> {
    for component in Component::ALL {
        swap::swap(folder, component, Change::To(origin), None, Progress::quiet()).await?;
    }
    tokio::time::sleep(plan.settle).await;
    for _ in 0..plan.samples {
        sample(folder, origin, plan.measure, results).await?;
    }
    Ok(())
}

/// Measures the rig in `folder`, and leaves every component where it was.
pub async fn measure(folder: &Folder, plan: Plan, progress: Progress) -> Result<Results> {
    let before = State::expect(folder)?;
    let mut results = Results::new();
    for round in 1..=plan.rounds {
        for origin in [Origin::Upstream, Origin::Ours] {
            side(folder, origin, plan, &mut results).await?;
            progress.say(&format!("round {round} of {}: {origin} measured", plan.rounds));
        }
    }
    put_back(folder, &before).await?;
    Ok(results)
}

async fn put_back(folder: &Folder, before: &State) -> Result<()> {
    for component in Component::ALL {
        for machine in machines(component, before.nodes) {
            let origin = before.choices.origin(component, &machine);
            let node = component.on_nodes().then_some(machine.as_str());
            swap::swap(folder, component, Change::To(origin), node, Progress::quiet()).await?;
        }
    }
    Ok(())
}

fn machines(component: Component, nodes: u8) -> Vec<String> {
    if component.on_nodes() {
        node_names(nodes)
    } else {
        vec![CONTROL_PLANE.to_owned()]
    }
}

async fn sample(folder: &Folder, origin: Origin, length: Duration, results: &mut Results) -> Result<()> {
    let nodes = State::expect(folder)?.nodes;
    let programs = Supervisor::connect(folder)?.programs()?;
    let mut begun = Vec::new();
    for component in Component::ALL {
        for machine in machines(component, nodes) {
            let instance = component.instance(&machine);
            let pid = programs
                .iter()
                .find(|program| program.instance == instance)
                .and_then(|program| program.pid);
            let pid = pid.with_context(|| format!("{instance} is not running"))?;
            begun.push((component, pid, Usage::of(pid)?));
        }
    }
    let since = Instant::now();
    tokio::time::sleep(length).await;
    for (component, pid, first) in begun {
        let last = Usage::of(pid)?;
        let spent = last.processor.saturating_sub(first.processor);
        let samples = results.entry((component, origin)).or_default();
        #[allow(clippy::cast_precision_loss)] // To a tenth of a mebibyte.
        samples.mebibytes.push(last.resident as f64 / 1024.0 / 1024.0);
        samples
            .millicores
            .push(1000.0 * spent.as_secs_f64() / since.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Ours divided by upstream's, of the medians: memory, then processor time.
pub fn ratios(results: &Results, component: Component) -> Option<(f64, f64)> {
    let median = |origin, field: fn(&Samples) -> &Vec<f64>| {
        Some(Summary::of(field(results.get(&(component, origin))?))?.median)
    };
    let ratio = |field: fn(&Samples) -> &Vec<f64>| {
        Some(median(Origin::Ours, field)? / median(Origin::Upstream, field)?.max(0.01))
    };
    Some((
        ratio(|samples| &samples.mebibytes)?,
        ratio(|samples| &samples.millicores)?,
    ))
}

/// What memory is to come to, as far as that is settled.
const fn targets(component: Component) -> &'static [Target] {
    match component {
        Component::Kubelet => &[Target::Ratio(1.0 / 5.0)],
        Component::Controllers => &[Target::Ratio(1.0 / 6.0)],
        Component::Scheduler | Component::Proxy => &[],
    }
}

/// The results as a table.
pub fn table(results: &Results, plan: Plan, nodes: u8) -> Table {
    let mut table = Table::new(
        "Idle cluster",
        &format!(
            "{nodes} nodes that run CoreDNS and nothing else; everything is one side's, then the other's, and is measured \
             {} times for {} s, {} s after its start.",
            plan.samples,
            plan.measure.as_secs(),
            plan.settle.as_secs()
        ),
    );
    for component in Component::ALL {
        let case = component.program();
        table.declare(case, "RSS, MiB", Better::Lower, targets(component));
        for origin in [Origin::Upstream, Origin::Ours] {
            let Some(samples) = results.get(&(component, origin)) else {
                continue;
            };
            for value in &samples.mebibytes {
                table.add(case, "RSS, MiB", origin, *value);
            }
            for value in &samples.millicores {
                table.add(case, "CPU, millicores", origin, *value);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::Verdict;

    #[test]
    fn a_component_s_ratio_is_that_of_the_medians() {
        let mut results = Results::new();
        let samples = |factor: f64| Samples {
            mebibytes: vec![80.0 * factor, 90.0 * factor, 200.0 * factor],
            millicores: vec![4.0 * factor],
        };
        results.insert((Component::Kubelet, Origin::Upstream), samples(1.0));
        assert_eq!(ratios(&results, Component::Kubelet), None);
        results.insert((Component::Kubelet, Origin::Ours), samples(0.25));
        let (memory, processor) = ratios(&results, Component::Kubelet).unwrap();
        assert!((memory - 0.25).abs() < 1e-9 && (processor - 0.25).abs() < 1e-9);
        let plan = Plan {
            rounds: 3,
            settle: Duration::from_secs(30),
            samples: 1,
            measure: Duration::from_secs(60),
        };
        let table = table(&results, plan, 2);
        let row = &table.rows[0];
        assert_eq!((row.case.as_str(), row.verdict()), ("kubelet", Verdict::Missed));
        assert!(
            table
                .rows
                .iter()
                .any(|row| row.case == "kube-proxy" && row.ratio().is_none())
        );
    }
}
