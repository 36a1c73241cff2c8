//! What each program takes on an idle cluster: resident memory and processor time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::summary::Summary;
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
    /// Length of a measurement.
    pub measure: Duration,
}

/// Samples of one side of one component: one a round and instance.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub mebibytes: Vec<f64>,
    pub millicores: Vec<f64>,
}

/// Samples by component and side.
pub type Results = BTreeMap<(Component, Origin), Samples>;

/// Measures the rig in `folder`, and leaves every component where it was.
pub async fn measure(folder: &Folder, plan: Plan, progress: Progress) -> Result<Results> {
    let before = State::expect(folder)?;
    let mut results = Results::new();
    for round in 1..=plan.rounds {
        for origin in [Origin::Upstream, Origin::Ours] {
            for component in Component::ALL {
                swap::swap(folder, component, Change::To(origin), None, Progress::quiet()).await?;
            }
            tokio::time::sleep(plan.settle).await;
            sample(folder, origin, plan.measure, &mut results).await?;
            progress.say(&format!("round {round} of {}: {origin} measured", plan.rounds));
        }
    }
    for component in Component::ALL {
        for machine in machines(component, before.nodes) {
            let origin = before.choices.origin(component, &machine);
            let node = component.on_nodes().then_some(machine.as_str());
            swap::swap(folder, component, Change::To(origin), node, Progress::quiet()).await?;
        }
    }
    Ok(results)
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

/// The section of the page.
pub fn section(results: &Results, plan: Plan, nodes: u8) -> String {
    let mut text = format!(
        "## Idle cluster\n\n{nodes} nodes that run CoreDNS and nothing else; {} rounds of each side in turns, measured for \
         {} s, {} s after its start. Median (minimum-maximum).\n\n\
         | program | RSS, MiB: upstream | ours | ratio | CPU, millicores: upstream | ours | ratio |\n\
         |---|---|---|---|---|---|---|\n",
        plan.rounds,
        plan.measure.as_secs(),
        plan.settle.as_secs()
    );
    for component in Component::ALL {
        let of = |origin, field: fn(&Samples) -> &Vec<f64>| {
            let samples = results.get(&(component, origin)).map(field);
            samples
                .and_then(|samples| Summary::of(samples))
                .map_or_else(|| "-".to_owned(), |summary| summary.to_string())
        };
        let ratio = ratios(results, component);
        let show =
            |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("**{ratio:.2}**"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            component.program(),
            of(Origin::Upstream, |samples| &samples.mebibytes),
            of(Origin::Ours, |samples| &samples.mebibytes),
            show(ratio.map(|ratio| ratio.0)),
            of(Origin::Upstream, |samples| &samples.millicores),
            of(Origin::Ours, |samples| &samples.millicores),
            show(ratio.map(|ratio| ratio.1)),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
            measure: Duration::from_secs(60),
        };
        let text = section(&results, plan, 2);
        assert!(
            text.contains("| kubelet | 90.0 (80.0-200.0) | 22.5 (20.0-50.0) | **0.25** |"),
            "{text}"
        );
        assert!(text.contains("| kube-proxy | - | - | - |"), "{text}");
    }
}
