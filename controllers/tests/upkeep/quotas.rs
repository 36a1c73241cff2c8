//! ResourceQuotas: what goes is given back.

use crate::{Running, create, namespace, server, until};
use controllers::config::Config;
use machinery::client::{Client, DeleteOptions, PatchKind};
use machinery::meta::Resource;
use machinery::meta::resources::{
    CONFIG_MAPS, DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES,
};
use serde_json::{Value, json};

async fn running(server: &machinery::testing::ApiServer) -> Running {
    let running = Running::new(server, Config::default());
    running
        .start(
            "resourcequota-controller",
            "resourcequota-controller",
            controllers::resourcequota::sync::run,
        )
        .await;
    running
}

async fn limit(client: &Client, space: &str, name: &str, spec: Value) {
    let mut quota = json!({ "metadata": { "name": name } });
    quota["spec"] = spec;
    create(client, &RESOURCE_QUOTAS, space, quota).await;
}

async fn used(client: &Client, space: &str, name: &str, what: &str, want: Value) {
    let Value::Object(want) = want else {
        panic!("{want} is no object")
    };
    until(client, &RESOURCE_QUOTAS, space, name, what, |quota| {
        let used = &quota["status"]["used"];
        want.iter().all(|(key, value)| used[key] == *value)
    })
    .await;
}

async fn delete(client: &Client, resource: &Resource, space: &str, name: &str) {
    client
        .delete(resource, space, name, &DeleteOptions::default().grace(0))
        .await
        .unwrap();
}

fn pod(name: &str, cpu: &str) -> Value {
    let resources = json!({ "requests": { "cpu": cpu }, "limits": { "memory": "64Mi" } });
    json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "c", "image": "i", "resources": resources }] } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_is_given_back() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    let space = "quota";
    namespace(client, space).await;
    create(
        client,
        &CONFIG_MAPS,
        space,
        json!({ "metadata": { "name": "old" } }),
    )
    .await;
    let hard = json!({ "pods": 5, "requests.cpu": 2, "limits.memory": "1Gi", "count/pods": 9, "configmaps": 50, "services": 9, "services.nodeports": 9,
        "persistentvolumeclaims": 3, "requests.storage": "10Gi", "gold.storageclass.storage.k8s.io/requests.storage": "5Gi", "count/deployments.apps": 4 });
    limit(client, space, "q", json!({ "hard": hard })).await;
    let none = json!({ "pods": "0", "requests.cpu": "0", "limits.memory": "0", "count/pods": "0", "configmaps": "1", "services": "0",
        "services.nodeports": "0", "persistentvolumeclaims": "0", "requests.storage": "0",
        "gold.storageclass.storage.k8s.io/requests.storage": "0", "count/deployments.apps": "0" });
    used(client, space, "q", "what was there is counted", none.clone()).await;
    create(client, &PODS, space, pod("a", "500m")).await;
    create(client, &PODS, space, pod("b", "1")).await;
    create(
        client,
        &SERVICES,
        space,
        json!({ "metadata": { "name": "s" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } }),
    )
    .await;
    let claim = json!({ "metadata": { "name": "v" }, "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "gold",
        "resources": { "requests": { "storage": "1Gi" } } } });
    create(client, &PERSISTENT_VOLUME_CLAIMS, space, claim).await;
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let deployment = json!({ "metadata": { "name": "d" }, "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template } });
    create(client, &DEPLOYMENTS, space, deployment).await;
    let some = json!({ "pods": "2", "requests.cpu": "1500m", "limits.memory": "128Mi", "services": "1", "services.nodeports": "1",
        "persistentvolumeclaims": "1", "requests.storage": "1Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "count/deployments.apps": "1" });
    used(client, space, "q", "what comes is charged", some).await;
    // A pod that has ended costs nothing but its place.
    let ended = json!({ "status": { "phase": "Succeeded" } });
    client
        .patch_status::<Value, _>(&PODS, space, "a", PatchKind::Strategic, &ended)
        .await
        .unwrap();
    let less = json!({ "pods": "1", "requests.cpu": "1", "count/pods": "2" });
    used(client, space, "q", "what has ended is given back", less).await;
    for (resource, name) in [(&PODS, "a"), (&PODS, "b"), (&SERVICES, "s"), (&DEPLOYMENTS, "d")] {
        delete(client, resource, space, name).await;
    }
    // Claims are protected, and nobody takes that off here.
    let free = json!({ "metadata": { "finalizers": null } });
    client
        .patch::<Value, _>(&PERSISTENT_VOLUME_CLAIMS, space, "v", PatchKind::Merge, &free)
        .await
        .unwrap();
    delete(client, &PERSISTENT_VOLUME_CLAIMS, space, "v").await;
    used(client, space, "q", "what goes is given back", none).await;
    let patch = json!({ "spec": { "hard": { "pods": "7" } } });
    client
        .patch::<Value, _>(&RESOURCE_QUOTAS, space, "q", PatchKind::Merge, &patch)
        .await
        .unwrap();
    until(
        client,
        &RESOURCE_QUOTAS,
        space,
        "q",
        "the new limit is told",
        |quota| quota["status"]["hard"]["pods"] == "7",
    )
    .await;
    let patch = json!({ "status": { "hard": { "pods": "99" } } });
    client
        .patch_status::<Value, _>(&RESOURCE_QUOTAS, space, "q", PatchKind::Merge, &patch)
        .await
        .unwrap();
    until(
        client,
        &RESOURCE_QUOTAS,
        space,
        "q",
        "a wrong status is set right",
        |quota| quota["status"]["hard"]["pods"] == "7",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_choose_pods() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    let space = "quota-scopes";
    namespace(client, space).await;
    for scope in ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort"] {
        let spec = json!({ "hard": { "pods": 5 }, "scopes": [scope] });
        limit(client, space, &scope.to_lowercase(), spec).await;
    }
    let mut timed = pod("timed", "100m");
    timed["spec"]["activeDeadlineSeconds"] = json!(3600);
    create(client, &PODS, space, timed).await;
    let idle =
        json!({ "metadata": { "name": "idle" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    create(client, &PODS, space, idle).await;
    for scope in ["terminating", "notterminating", "besteffort", "notbesteffort"] {
        used(client, space, scope, "one pod is in each", json!({ "pods": "1" })).await;
    }
    delete(client, &PODS, space, "timed").await;
    used(
        client,
        space,
        "terminating",
        "it is given back",
        json!({ "pods": "0" }),
    )
    .await;
    used(
        client,
        space,
        "notbesteffort",
        "it is given back",
        json!({ "pods": "0" }),
    )
    .await;
    used(
        client,
        space,
        "besteffort",
        "the other stays",
        json!({ "pods": "1" }),
    )
    .await;
}
