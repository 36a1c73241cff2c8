//! The core alone: no API, no network. Time per pod, by size of the cluster and kind of constraint. Run it with `cargo bench -p kube-scheduler`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube_scheduler::api::{Node, Pod};
use kube_scheduler::bind::DefaultBinder;
use kube_scheduler::config::{self, Configuration};
use kube_scheduler::core::{Attempt, Scheduler};
use kube_scheduler::plugins;
use kube_scheduler::queue::Backoff;
use machinery::cache::Event;
use serde_json::{Value, json};

const PODS: usize = 500;
const RUNS: usize = 5;
const NOW: Duration = Duration::from_secs(1);

fn scheduler(nodes: usize) -> Scheduler {
    let mut registry = plugins::registry();
    registry.enter("DefaultBinder", |_| Ok(Arc::new(DefaultBinder::unconnected())));
    let mut config = Configuration::default();
    config.complete();
    let frameworks = config::frameworks(&config, &registry).unwrap_or_default();
    let mut scheduler = Scheduler::new(frameworks, Backoff::default(), Duration::from_secs(300), 7);
    for index in 0..nodes {
        let name = format!("node-{index}");
        let node = json!({
            "metadata": { "name": name, "labels": {
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", index % 3) } },
            "status": { "allocatable": { "cpu": "32", "memory": "64Gi", "pods": "110" } },
        });
        if let Ok(node) = serde_json::from_value::<Node>(node) {
            scheduler.on_node(&Event::Added(Arc::new(node)), NOW);
        }
    }
    scheduler
}

fn spec(kind: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": kind } });
    let term = |key: &str| json!({ "labelSelector": selector, "topologyKey": key });
    let must = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term(key)] });
    let (zone, hostname) = ("topology.kubernetes.io/zone", "kubernetes.io/hostname");
    match kind {
        "anti-affinity by host" => json!({ "affinity": { "podAntiAffinity": must(hostname) } }),
        "affinity by zone" => json!({ "affinity": { "podAffinity": must(zone) } }),
        "preferred affinity by host" => json!({ "affinity": { "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": term(hostname) }] } } }),
        "spread by zone" => json!({ "topologySpreadConstraints": [{
            "maxSkew": 5, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector }] }),
        _ => json!({}),
    }
}

fn pods(kind: &str) -> Vec<Arc<Pod>> {
    let pod = |index: usize| {
        let mut spec = spec(kind);
        spec["schedulerName"] = json!("default-scheduler");
        spec["containers"] =
            json!([{ "name": "c", "resources": { "requests": { "cpu": "100m", "memory": "100Mi" } } }]);
        let name = format!("pod-{index}");
        let metadata =
            json!({ "name": name, "namespace": "default", "uid": name, "labels": { "app": kind } });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec }))
            .ok()
            .map(Arc::new)
    };
    (0..PODS).filter_map(pod).collect()
}

fn schedule(mut scheduler: Scheduler) {
    let mut bound = 0;
    while let Some(attempt) = scheduler.next(NOW) {
        bound += usize::from(matches!(attempt, Attempt::Bind(_)));
    }
    assert_eq!(bound, PODS);
}

/// Microseconds per pod in one run.
fn run(nodes: usize, pods: &[Arc<Pod>]) -> f64 {
    let mut scheduler = scheduler(nodes);
    pods.iter()
        .for_each(|pod| scheduler.on_pod(&Event::Added(pod.clone()), NOW));
    let started = Instant::now();
    schedule(scheduler);
    started.elapsed().as_secs_f64() * 1e6 / PODS as f64
}

fn main() {
    println!("microseconds per pod, {PODS} pods, {RUNS} runs: minimum, median, maximum");
    for kind in [
        "basic",
        "anti-affinity by host",
        "affinity by zone",
        "preferred affinity by host",
        "spread by zone",
    ] {
        let pods = pods(kind);
        for nodes in [1000, 5000] {
            let mut times: Vec<f64> = (0..RUNS).map(|_| run(nodes, &pods)).collect();
            times.sort_by(f64::total_cmp);
            println!(
                "{kind:28} {nodes:5} nodes {:8.1} {:8.1} {:8.1}",
                times[0],
                times[RUNS / 2],
                times[RUNS - 1]
            );
        }
    }
}
