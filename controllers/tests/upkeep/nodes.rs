//! A dead node loses its pods.

use crate::{Running, condition, create, event, namespace, server, until};
use controllers::config::{Config, NodeLifecycle};
use machinery::client::{Client, PatchKind};
use machinery::meta::MicroTime;
use machinery::meta::resources::{LEASES, NODES, PODS};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::time::Duration;

async fn node(client: &Client, name: &str) {
    create(
        client,
        &NODES,
        "",
        json!({ "metadata": { "name": name, "labels": { "kubernetes.io/os": "linux" } } }),
    )
    .await;
    let lease = json!({ "metadata": { "name": name }, "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": MicroTime::now() } });
    create(client, &LEASES, "kube-node-lease", lease).await;
    says_ready(client, name).await;
}

async fn says_ready(client: &Client, name: &str) {
    let now = machinery::meta::Time::now();
    let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now });
    let patch = json!({ "status": { "conditions": [ready] } });
    client
        .patch_status::<IgnoredAny, _>(&NODES, "", name, PatchKind::Strategic, &patch)
        .await
        .unwrap();
}

async fn renews(client: &Client, name: &str) {
    let patch = json!({ "spec": { "renewTime": MicroTime::now() } });
    client
        .patch::<IgnoredAny, _>(&LEASES, "kube-node-lease", name, PatchKind::Merge, &patch)
        .await
        .unwrap();
}

async fn running_pod(client: &Client, name: &str, node: &str) {
    let tolerations = json!([{ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1 }]);
    let spec = json!({ "nodeName": node, "tolerations": tolerations, "containers": [{ "name": "c", "image": "i" }] });
    create(
        client,
        &PODS,
        "nodes",
        json!({ "metadata": { "name": name }, "spec": spec }),
    )
    .await;
    let ready = json!({ "type": "Ready", "status": "True" });
    let patch = json!({ "status": { "phase": "Running", "conditions": [ready] } });
    client
        .patch_status::<IgnoredAny, _>(&PODS, "nodes", name, PatchKind::Strategic, &patch)
        .await
        .unwrap();
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut taints: Vec<_> = taints
        .iter()
        .map(|taint| {
            format!(
                "{}:{}",
                taint["key"].as_str().unwrap(),
                taint["effect"].as_str().unwrap()
            )
        })
        .collect();
    taints.sort();
    taints
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_dead_node_are_evicted() {
    let server = server!();
    let node_lifecycle = NodeLifecycle {
        monitor_period: Duration::from_secs(1),
        monitor_grace_period: Duration::from_secs(4),
        eviction_rate: 10.0,
        ..NodeLifecycle::default()
    };
    let running = Running::new(
        server,
        Config {
            node_lifecycle,
            ..Config::default()
        },
    );
    let client = &running.client;
    namespace(client, "nodes").await;
    node(client, "well").await;
    node(client, "dies").await;
    running_pod(client, "stays", "well").await;
    running_pod(client, "leaves", "dies").await;
    let renewing = tokio::spawn({
        let client = client.clone();
        async move {
            loop {
                renews(&client, "well").await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    running
        .start(
            "node-lifecycle-controller",
            "node-controller",
            controllers::nodelifecycle::sync::run,
        )
        .await;
    running
        .start(
            "taint-eviction-controller",
            "node-controller",
            controllers::nodelifecycle::eviction::sync::run,
        )
        .await;
    running
        .start(
            "pod-garbage-collector-controller",
            "pod-garbage-collector",
            controllers::podgc::sync::run,
        )
        .await;

    // New nodes have a taint until they are ready.
    until(client, &NODES, "", "dies", "it is ready and clean", |node| {
        taints(node).is_empty()
    })
    .await;
    let dead = until(client, &NODES, "", "dies", "it is silent", |node| {
        taints(node).len() == 2
    })
    .await;
    assert_eq!(
        taints(&dead),
        [
            "node.kubernetes.io/unreachable:NoExecute",
            "node.kubernetes.io/unreachable:NoSchedule"
        ]
    );
    let ready = condition(&dead, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("Unknown"), &json!("NodeStatusUnknown"))
    );
    assert_eq!(
        condition(&dead, "PIDPressure")["reason"],
        "NodeStatusNeverUpdated"
    );
    assert_eq!(dead["metadata"]["labels"]["beta.kubernetes.io/os"], "linux");
    event(client, "default", "dies", "NodeNotReady").await;

    let evicted = until(client, &PODS, "nodes", "leaves", "it is to go", |pod| {
        !pod["metadata"]["deletionTimestamp"].is_null()
    })
    .await;
    assert_eq!(condition(&evicted, "Ready")["status"], "False");
    assert_eq!(
        condition(&evicted, "DisruptionTarget")["reason"],
        "DeletionByTaintManager"
    );
    event(client, "nodes", "leaves", "TaintManagerEviction").await;
    event(client, "nodes", "leaves", "NodeNotReady").await;
    let stays = crate::get(client, &PODS, "nodes", "stays").await;
    assert!(
        stays["metadata"]["deletionTimestamp"].is_null() && condition(&stays, "Ready")["status"] == "True"
    );

    // Nobody on the node ends the pod, until its administrator says that the node is out of service.
    let mut all = dead["spec"]["taints"].as_array().unwrap().clone();
    all.push(
        json!({ "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" }),
    );
    client
        .patch::<IgnoredAny, _>(
            &NODES,
            "",
            "dies",
            PatchKind::Merge,
            &json!({ "spec": { "taints": all } }),
        )
        .await
        .unwrap();
    until(client, &PODS, "nodes", "leaves", "it is gone", Value::is_null).await;

    says_ready(client, "dies").await;
    renews(client, "dies").await;
    let back = |node: &Value| taints(node) == ["node.kubernetes.io/out-of-service:NoExecute"];
    until(client, &NODES, "", "dies", "it is back", back).await;
    renewing.abort();
}
