//! DaemonSets and StatefulSets.

use crate::bench::Bench;
use machinery::client::PatchKind;
use machinery::meta::Resource;
use machinery::meta::resources::{
    CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "sets";

fn template(app: &str) -> Value {
    json!({ "metadata": { "labels": { "app": app } }, "spec": { "tolerations": [{ "operator": "Exists" }], "terminationGracePeriodSeconds": 0,
        "containers": [{ "name": "c", "image": "image:1", "command": ["sh", "-c", "echo <a> && exit"],
            "resources": { "requests": { "cpu": "0.10", "memory": "8Mi" } } }] } })
}

async fn create(bench: &Bench, resource: &Resource, namespace: &str, body: Value) {
    bench
        .client
        .create::<Value, _>(resource, namespace, &body)
        .await
        .unwrap();
}

async fn set_image(bench: &Bench, resource: &Resource, name: &str, image: &str) {
    let patch =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } });
    bench
        .client
        .patch::<Value, _>(resource, NAMESPACE, name, PatchKind::Strategic, &patch)
        .await
        .unwrap();
}

/// Whether the set says that `count` pods are there, available, and of the newest template.
async fn is_done(bench: &Bench, resource: &Resource, name: &str, count: i64) -> bool {
    let Some(set) = bench.get(resource, NAMESPACE, name).await else {
        return false;
    };
    let status = &set["status"];
    let fields: &[&str] = if *resource == DAEMON_SETS {
        &[
            "desiredNumberScheduled",
            "updatedNumberScheduled",
            "numberAvailable",
        ]
    } else {
        &[
            "replicas",
            "updatedReplicas",
            "availableReplicas",
            "currentReplicas",
        ]
    };
    fields.iter().all(|field| status[field] == count)
        && status["observedGeneration"] == set["metadata"]["generation"]
}

async fn rolls_out(bench: &Bench, resource: &Resource, name: &str, count: i64) {
    bench
        .until(&format!("{name} rolled out"), NAMESPACE, async |bench| {
            is_done(bench, resource, name, count).await
        })
        .await;
}

/// The revisions of an owner: name, number, hash label, resource version.
async fn revisions(bench: &Bench, owner: &str) -> Vec<(String, i64, String)> {
    let mut revisions: Vec<_> = bench
        .list(&CONTROLLER_REVISIONS, NAMESPACE)
        .await
        .iter()
        .filter(|revision| revision["metadata"]["ownerReferences"][0]["name"] == owner)
        .map(|revision| {
            let meta = &revision["metadata"];
            (
                meta["name"].as_str().unwrap().to_owned(),
                revision["revision"].as_i64().unwrap(),
                meta["resourceVersion"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    revisions.sort_by_key(|(_, number, _)| *number);
    revisions
}

fn daemon_set(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "selector": { "matchLabels": { "app": name } }, "template": template(name) } })
}

fn stateful_set(name: &str) -> Value {
    json!({ "metadata": { "name": name, "annotations": { "x": "y" } }, "spec": { "replicas": 3, "serviceName": "svc", "selector": { "matchLabels": { "app": name } },
        "template": template(name), "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete", "whenScaled": "Retain" },
        "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } } }] } })
}

pub async fn daemons_run_on_every_node_and_roll(bench: &Bench) {
    bench.namespace(NAMESPACE).await;
    for name in ["n1", "n2"] {
        create(bench, &NODES, "", json!({ "metadata": { "name": name } })).await;
    }
    create(bench, &DAEMON_SETS, NAMESPACE, daemon_set("ds")).await;
    rolls_out(bench, &DAEMON_SETS, "ds", 2).await;
    let pods = bench.list(&PODS, NAMESPACE).await;
    assert_eq!(pods.len(), 2);
    let first = revisions(bench, "ds").await;
    assert_eq!(first.len(), 1);
    set_image(bench, &DAEMON_SETS, "ds", "image:2").await;
    rolls_out(bench, &DAEMON_SETS, "ds", 2).await;
    set_image(bench, &DAEMON_SETS, "ds", "image:1").await;
    rolls_out(bench, &DAEMON_SETS, "ds", 2).await;
    let after = revisions(bench, "ds").await;
    assert_eq!(
        (after.len(), after[1].1, &after[1].0),
        (2, 3, &first[0].0),
        "the first revision counts anew"
    );
    create(bench, &NODES, "", json!({ "metadata": { "name": "n3" } })).await;
    rolls_out(bench, &DAEMON_SETS, "ds", 3).await;
}

pub async fn stateful_pods_come_in_order_and_roll(bench: &Bench) {
    create(bench, &STATEFUL_SETS, NAMESPACE, stateful_set("web")).await;
    rolls_out(bench, &STATEFUL_SETS, "web", 3).await;
    set_image(bench, &STATEFUL_SETS, "web", "image:2").await;
    rolls_out(bench, &STATEFUL_SETS, "web", 3).await;
    let set = bench.get(&STATEFUL_SETS, NAMESPACE, "web").await.unwrap();
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    assert_eq!(revisions(bench, "web").await.len(), 2);
    for ordinal in 0..3 {
        let name = format!("web-{ordinal}");
        let pod = bench.get(&PODS, NAMESPACE, &name).await.unwrap();
        assert_eq!(pod["spec"]["containers"][0]["image"], "image:2");
        assert_eq!(
            (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
            (&json!(name), &json!("svc"))
        );
        let claim = bench
            .get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, &format!("data-{name}"))
            .await
            .unwrap();
        assert_eq!(claim["metadata"]["ownerReferences"][0]["name"], "web");
    }
    let scale = json!({ "spec": { "replicas": 1 } });
    bench
        .client
        .patch::<Value, _>(&STATEFUL_SETS, NAMESPACE, "web", PatchKind::Merge, &scale)
        .await
        .unwrap();
    rolls_out(bench, &STATEFUL_SETS, "web", 1).await;
}

/// What a hand-over must leave as it is.
async fn snapshot(bench: &Bench, app: &str) -> Vec<Value> {
    let resources = [DAEMON_SETS, STATEFUL_SETS, CONTROLLER_REVISIONS, PODS];
    let mut all = Vec::new();
    for resource in resources {
        for object in bench.list(&resource, NAMESPACE).await {
            let meta = &object["metadata"];
            if meta["name"].as_str().unwrap().starts_with(app) {
                all.push(json!([meta["name"], meta["uid"], meta["resourceVersion"]]));
            }
        }
    }
    all.sort_by_key(Value::to_string);
    all
}

async fn both(bench: &Bench, prefix: &str) {
    let (ds, web) = (format!("{prefix}-ds"), format!("{prefix}-web"));
    create(bench, &DAEMON_SETS, NAMESPACE, daemon_set(&ds)).await;
    create(bench, &STATEFUL_SETS, NAMESPACE, stateful_set(&web)).await;
    rolls_out(bench, &DAEMON_SETS, &ds, 3).await;
    rolls_out(bench, &STATEFUL_SETS, &web, 3).await;
}

pub async fn upstream_takes_over_and_hands_back(bench: &mut Bench) {
    both(bench, "ours").await;
    let ours = snapshot(bench, "ours").await;
    if !bench.upstream() {
        return eprintln!("upstream's manager is not to be had: it takes nothing over");
    }
    // That it leads shows in what it does.
    both(bench, "theirs").await;
    assert_eq!(snapshot(bench, "ours").await, ours, "upstream wrote to our sets");
    let theirs = snapshot(bench, "theirs").await;
    bench.ours();
    both(bench, "again").await;
    assert_eq!(
        snapshot(bench, "theirs").await,
        theirs,
        "we wrote to upstream's sets"
    );
    assert_eq!(snapshot(bench, "ours").await, ours, "we wrote to our own sets");
}
