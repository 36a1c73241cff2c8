//! The scheduler's core alone, in this process: what a decision costs, without client, clock or threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube_scheduler::api::Pod;
use kube_scheduler::bind::DefaultBinder;
use kube_scheduler::config::{self, Configuration};
use kube_scheduler::core::{Attempt, Scheduler};
use kube_scheduler::plugins;
use kube_scheduler::queue::Backoff;
use machinery::cache::Event;
use serde_json::json;

use super::cases::{ALONE_PER_NODE, PODS_PER_NODE, SIZES, node, pod};
use super::{Constraint, GROWTH, logarithmic};
use crate::bench::scaled;
use crate::bench::table::{Better, Table};
use crate::plan::choice::Origin;

/// In each round, for each size.
const RUNS: u32 = 3;
const EACH: &str = "CPU a pod, µs";
/// The core is told the time; here it stands still.
const NOW: Duration = Duration::from_secs(1);
const UNSCHEDULABLE: Duration = Duration::from_secs(300);
const SEED: u64 = 7;

/// Measures ours: upstream's cannot be had without its API.
pub fn measure(rounds: u32, scale: f64) -> Result<Table> {
    let sizes = SIZES.map(|nodes| scaled(nodes, scale));
    let [small, large] = sizes;
    let mut table = Table::new(
        "Scheduler, the core alone",
        &format!(
            "Our scheduler's decisions without any API: {PODS_PER_NODE} pods a node are queued (of those that exclude each \
             other {ALONE_PER_NODE}), and decided one after the other in one thread that does nothing else. A pod's time may \
             grow by the logarithm of the nodes. Upstream's scheduler cannot be run so."
        ),
    );
    for constraint in Constraint::ALL {
        for nodes in sizes {
            table.declare(&title(constraint, nodes), EACH, Better::Lower, &[]);
        }
        let bound = logarithmic(small, large);
        table.declare(&title(constraint, large), GROWTH, Better::Lower, &[bound]);
    }
    for constraint in Constraint::ALL {
        let [few, many] = sizes.map(|nodes| pods_of(constraint, nodes));
        let (few, many) = (few?, many?);
        // The warm-up.
        run(small, &few)?;
        for _ in 0..RUNS * rounds.max(1) {
            let [base, grown] = [run(small, &few)?, run(large, &many)?];
            table.add(&title(constraint, small), EACH, Origin::Ours, base);
            table.add(&title(constraint, large), EACH, Origin::Ours, grown);
            table.add(&title(constraint, large), GROWTH, Origin::Ours, grown / base);
        }
    }
    Ok(table)
}

fn title(constraint: Constraint, nodes: usize) -> String {
    format!("{} on {nodes} nodes", constraint.title())
}

fn pods_of(constraint: Constraint, nodes: usize) -> Result<Vec<Arc<Pod>>> {
    (0..constraint.pods_on(nodes))
        .map(|number| {
            let mut object = pod(number, constraint);
            object["metadata"]["namespace"] = json!("default");
            object["metadata"]["uid"] = object["metadata"]["name"].clone();
            object["spec"]["schedulerName"] = json!("default-scheduler");
            serde_json::from_value(object)
                .map(Arc::new)
                .context("reading a pod")
        })
        .collect()
}

/// Microseconds a pod in one run.
fn run(nodes: usize, pods: &[Arc<Pod>]) -> Result<f64> {
    let mut scheduler = scheduler(nodes)?;
    for pod in pods {
        scheduler.on_pod(&Event::Added(pod.clone()), NOW);
    }
    let since = Instant::now();
    let mut bound = 0;
    while let Some(attempt) = scheduler.next(NOW) {
        bound += usize::from(matches!(attempt, Attempt::Bind(_)));
    }
    let took = since.elapsed();
    ensure!(bound == pods.len(), "{bound} of {} pods were bound", pods.len());
    #[allow(clippy::cast_precision_loss)]
    Ok(took.as_secs_f64() * 1e6 / bound as f64)
}

fn scheduler(nodes: usize) -> Result<Scheduler> {
    let mut registry = plugins::registry();
    registry.enter("DefaultBinder", |_| Ok(Arc::new(DefaultBinder::unconnected())));
    let mut config = Configuration::default();
    config.complete();
    let frameworks = config::frameworks(&config, &registry).context("making the plugins")?;
    let mut scheduler = Scheduler::new(frameworks, Backoff::default(), UNSCHEDULABLE, SEED);
    for number in 0..nodes {
        let node = serde_json::from_value(node(number)).context("reading a node")?;
        scheduler.on_node(&Event::Added(Arc::new(node)), NOW);
    }
    Ok(scheduler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_pod_is_bound_and_judged() {
        let table = measure(1, 0.01).unwrap();
        assert!(table.failures.is_empty());
        assert_eq!(table.score().1, Constraint::ALL.len());
        for row in &table.rows {
            assert_eq!(row.ours.len(), RUNS as usize, "{} {}", row.case, row.measure);
        }
    }
}
