//! Objects and clusters for tests.

use std::sync::Arc;

use machinery::cache::Event;
use serde_json::{Value, json};

use crate::api::{Node, Pod};
use crate::bind::DefaultBinder;
use crate::cache::Snapshot;
use crate::config::{self, Configuration};
use crate::core::Scheduler;
use crate::framework::registry::Registry;
use crate::framework::{Framework, PodView};
use crate::plugins;
use crate::queue::{Backoff, Moment};

/// A node with 4 cpus, 32 GiB and room for 110 pods, in a zone.
pub fn node(name: &str, zone: &str) -> Value {
    let resources = json!({ "cpu": "4", "memory": "32Gi", "pods": "110" });
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone } },
        "status": { "allocatable": resources },
    })
}

/// A pod of one container with `spec` laid over the usual.
pub fn pod(name: &str, labels: &Value, spec: &Value) -> Value {
    let mut pod = json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": labels },
        "spec": { "schedulerName": "default-scheduler", "containers": [{ "name": "c", "image": "i" }] },
    });
    machinery::component::config::merge(&mut pod["spec"], spec.clone());
    pod
}

/// A pod that asks for so much.
pub fn asking(name: &str, cpu: &str, memory: &str) -> Value {
    let requests = json!({ "cpu": cpu, "memory": memory });
    pod(
        name,
        &json!({}),
        &json!({ "containers": [{ "name": "c", "image": "i", "resources": { "requests": requests } }] }),
    )
}

/// The pod, on a node.
pub fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod
}

pub fn read_node(value: &Value) -> Arc<Node> {
    Arc::new(serde_json::from_value(value.clone()).unwrap())
}

pub fn read_pod(value: &Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(value.clone()).unwrap())
}

/// The plugins of the tree, with a binder that goes nowhere.
pub fn registry() -> Registry {
    let mut registry = plugins::registry();
    registry.enter("DefaultBinder", |_| Ok(Arc::new(DefaultBinder::unconnected())));
    registry
}

/// The frameworks of a configuration's profiles.
pub fn frameworks(config: &Value) -> Vec<Arc<Framework>> {
    let mut config: Configuration = serde_json::from_value(config.clone()).unwrap();
    config.complete();
    config.check().unwrap();
    config::frameworks(&config, &registry()).unwrap()
}

/// A scheduler with the default profile.
pub fn scheduler() -> Scheduler {
    scheduler_with(&json!({}))
}

/// A scheduler with a configuration.
pub fn scheduler_with(config: &Value) -> Scheduler {
    Scheduler::new(frameworks(config), Backoff::default(), Moment::from_secs(300), 7)
}

/// A framework of just one plugin beside those that it cannot do without.
pub fn only(plugin: &str, args: &Value) -> Arc<Framework> {
    let config = json!({ "profiles": [{
        "plugins": { "multiPoint": {
            "disabled": [{ "name": "*" }],
            "enabled": [{ "name": "PrioritySort" }, { "name": "DefaultBinder" }, { "name": plugin }],
        } },
        "pluginConfig": [{ "name": plugin, "args": args }],
    }] });
    frameworks(&config).remove(0)
}

/// A snapshot of these nodes and pods.
pub fn snapshot(nodes: &[Value], pods: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    nodes.iter().for_each(|node| snapshot.set_node(&read_node(node)));
    pods.iter().for_each(|pod| snapshot.set_pod(&read_pod(pod)));
    snapshot
}

/// Which nodes one plugin lets the pod on; sorted.
pub fn feasible(framework: &Framework, snapshot: &mut Snapshot, incoming: &Value) -> Vec<String> {
    let pod = read_pod(incoming);
    let shape = snapshot.shape(&pod);
    let (rows, _) = framework.feasible_and_totals(
        &PodView {
            pod: &pod,
            shape: &shape,
        },
        snapshot,
    );
    let mut names: Vec<String> = rows
        .iter()
        .map(|row| snapshot.rows().name(*row).to_string())
        .collect();
    names.sort();
    names
}

/// How one plugin scores the nodes, in the order of their names.
pub fn scores(framework: &Framework, snapshot: &mut Snapshot, incoming: &Value) -> Vec<i64> {
    let pod = read_pod(incoming);
    let shape = snapshot.shape(&pod);
    let (rows, totals) = framework.feasible_and_totals(
        &PodView {
            pod: &pod,
            shape: &shape,
        },
        snapshot,
    );
    let mut named: Vec<(String, i64)> = rows
        .iter()
        .zip(totals)
        .map(|(row, total)| (snapshot.rows().name(*row).to_string(), total))
        .collect();
    named.sort();
    named.into_iter().map(|(_, total)| total).collect()
}

/// Nodes come.
pub fn add_nodes(scheduler: &mut Scheduler, nodes: &[Value]) {
    for node in nodes {
        scheduler.on_node(&Event::Added(read_node(node)), Moment::from_secs(1));
    }
}

/// Pods come.
pub fn add_pods(scheduler: &mut Scheduler, pods: &[Value]) {
    for pod in pods {
        scheduler.on_pod(&Event::Added(read_pod(pod)), Moment::from_secs(1));
    }
}

/// The node, with taints.
pub fn tainted(mut node: Value, taints: &Value) -> Value {
    node["spec"]["taints"] = taints.clone();
    node
}

/// Nodes a and b in zone 1, x and y in zone 2.
pub fn two_zones() -> Vec<Value> {
    vec![node("a", "1"), node("b", "1"), node("x", "2"), node("y", "2")]
}

/// A pod labelled foo.
pub fn foo(spec: &Value) -> Value {
    pod("p", &json!({ "foo": "" }), spec)
}
