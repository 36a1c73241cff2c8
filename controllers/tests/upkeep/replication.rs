//! ReplicationControllers: what is not shared with ReplicaSets.

use crate::{Running, condition, create, event, get, namespace, server, until};
use controllers::config::Config;
use machinery::client::{Client, DeleteOptions, ListOptions, PatchKind};
use machinery::meta::resources::{PODS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS};
use serde_json::{Value, json};
use std::time::Duration;

async fn pods(client: &Client, space: &str) -> Vec<Value> {
    client
        .list_all(&PODS, space, &ListOptions::default())
        .await
        .unwrap()
        .items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replication_controller_keeps_its_pods() {
    let server = server!();
    let running = Running::new(server, Config::default());
    running
        .start(
            "replicationcontroller-controller",
            "replication-controller",
            controllers::replicaset::sync::run_replication_controllers,
        )
        .await;
    let client = &running.client;
    let space = "replication";
    namespace(client, space).await;
    // A quota that lets two pods in: what is missing is told as a condition.
    create(
        client,
        &RESOURCE_QUOTAS,
        space,
        json!({ "metadata": { "name": "q" }, "spec": { "hard": { "pods": 2 } } }),
    )
    .await;
    let usage = json!({ "status": { "hard": { "pods": "2" }, "used": { "pods": "0" } } });
    client
        .patch_status::<Value, _>(&RESOURCE_QUOTAS, space, "q", PatchKind::Merge, &usage)
        .await
        .unwrap();
    let orphan = json!({ "metadata": { "name": "orphan", "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    // The API server takes a moment to heed a new quota.
    loop {
        create(client, &PODS, space, orphan.clone()).await;
        let quota = get(client, &RESOURCE_QUOTAS, space, "q").await;
        if quota["status"]["used"]["pods"] == "1" {
            break;
        }
        let now = DeleteOptions::default().grace(0);
        client.delete(&PODS, space, "orphan", &now).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let rc = json!({ "metadata": { "name": "rc" }, "spec": { "replicas": 3, "selector": { "app": "web" }, "template": template } });
    create(client, &REPLICATION_CONTROLLERS, space, rc).await;
    let failed = until(
        client,
        &REPLICATION_CONTROLLERS,
        space,
        "rc",
        "the quota is in the way",
        |rc| condition(rc, "ReplicaFailure")["reason"] == "FailedCreate" && rc["status"]["replicas"] == 2,
    )
    .await;
    assert!(
        condition(&failed, "ReplicaFailure")["message"]
            .as_str()
            .unwrap()
            .contains("exceeded quota")
            && failed["status"]["terminatingReplicas"].is_null()
    );
    event(client, space, "rc", "FailedCreate").await;
    let owned = pods(client, space).await;
    assert!(owned.len() == 2 && owned.iter().any(|pod| pod["metadata"]["name"] == "orphan"));
    for pod in &owned {
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["apiVersion"]),
            (&json!("ReplicationController"), &json!("v1"))
        );
    }
    // Nobody gives back here what goes.
    client
        .delete(&RESOURCE_QUOTAS, space, "q", &DeleteOptions::default())
        .await
        .unwrap();
    let patch = json!({ "spec": { "replicas": 1 } });
    client
        .patch::<Value, _>(&REPLICATION_CONTROLLERS, space, "rc", PatchKind::Merge, &patch)
        .await
        .unwrap();
    until(
        client,
        &REPLICATION_CONTROLLERS,
        space,
        "rc",
        "one pod is left and the failure is gone",
        |rc| {
            rc["status"]["replicas"] == 1
                && rc["status"]["observedGeneration"] == 2
                && condition(rc, "ReplicaFailure").is_null()
        },
    )
    .await;
    let released = pods(client, space).await.remove(0);
    let name = released["metadata"]["name"].as_str().unwrap();
    let patch = json!({ "metadata": { "labels": null } });
    client
        .patch::<Value, _>(&PODS, space, name, PatchKind::Merge, &patch)
        .await
        .unwrap();
    until(client, &PODS, space, name, "it is released", |pod| {
        pod["metadata"]["ownerReferences"].is_null()
    })
    .await;
    let owned = async || {
        let pods = pods(client, space).await;
        pods.iter()
            .filter(|pod| pod["metadata"]["ownerReferences"].is_array())
            .count()
    };
    while owned().await != 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
