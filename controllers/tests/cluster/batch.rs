//! Jobs, CronJobs, ReplicationControllers and quotas that change hands.

use crate::bench::Bench;
use machinery::client::{ListOptions, PatchKind};
use machinery::meta::Resource;
use machinery::meta::resources::{CRON_JOBS, JOBS, PODS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS};
use serde_json::{Value, json};

const NAMESPACE: &str = "batch";

async fn create(bench: &Bench, resource: &Resource, name: &str, spec: Value) {
    let mut body = json!({ "metadata": { "name": name } });
    body["spec"] = spec;
    bench
        .client
        .create::<Value, _>(resource, NAMESPACE, &body)
        .await
        .unwrap();
}

fn template(app: &str, restarts: &str) -> Value {
    json!({ "metadata": { "labels": { "app": app } },
        "spec": { "restartPolicy": restarts, "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "0.10" } } }] } })
}

/// Pods of the Job that have not ended.
async fn running(bench: &Bench) -> Vec<Value> {
    let select = ListOptions::default()
        .labels("batch.kubernetes.io/job-name=j")
        .fields("status.phase=Pending");
    bench.client.list(&PODS, NAMESPACE, &select).await.unwrap().items
}

/// Ends one pod of the Job as a kubelet would.
async fn end_one(bench: &Bench) {
    let pod = running(bench).await.remove(0);
    let status = json!({ "status": { "phase": "Succeeded" } });
    let name = pod["metadata"]["name"].as_str().unwrap();
    bench
        .client
        .patch_status::<Value, _>(&PODS, NAMESPACE, name, PatchKind::Strategic, &status)
        .await
        .unwrap();
}

async fn counts(bench: &Bench, succeeded: i64, active: i64) -> bool {
    let job = bench.get(&JOBS, NAMESPACE, "j").await.unwrap();
    let status = &job["status"];
    status["succeeded"].as_i64().unwrap_or(0) == succeeded
        && status["active"].as_i64().unwrap_or(0) == active
        && status["uncountedTerminatedPods"] == json!({})
}

/// What must not be written again when leadership changes.
async fn versions(bench: &Bench) -> Vec<Value> {
    let mut versions = Vec::new();
    for (resource, name) in [
        (&JOBS, "j"),
        (&CRON_JOBS, "c"),
        (&REPLICATION_CONTROLLERS, "rc"),
        (&RESOURCE_QUOTAS, "q"),
    ] {
        let object = bench.get(resource, NAMESPACE, name).await.unwrap();
        versions.push(json!([name, object["metadata"]["resourceVersion"]]));
    }
    versions
}

pub async fn each_end_is_counted_once_whoever_leads(bench: &mut Bench) {
    bench.namespace(NAMESPACE).await;
    let hard = json!({ "count/jobs.batch": 9, "requests.cpu": "9", "pods": 9, "count/configmaps": 9 });
    create(bench, &RESOURCE_QUOTAS, "q", json!({ "hard": hard })).await;
    let rc = json!({ "replicas": 2, "selector": { "app": "web" }, "template": template("web", "Always") });
    create(bench, &REPLICATION_CONTROLLERS, "rc", rc).await;
    let job = json!({ "parallelism": 2, "completions": 4, "completionMode": "Indexed", "template": template("job", "Never") });
    create(bench, &JOBS, "j", job).await;
    let cron = json!({ "schedule": "0 0 1 1 *", "timeZone": "Asia/Tokyo", "jobTemplate": { "spec": { "template": template("cron", "Never") } } });
    create(bench, &CRON_JOBS, "c", cron).await;
    bench
        .see("two pods of each", async |bench| {
            let rc = bench
                .get(&REPLICATION_CONTROLLERS, NAMESPACE, "rc")
                .await
                .unwrap();
            counts(bench, 0, 2).await && rc["status"]["replicas"] == 2
        })
        .await;
    end_one(bench).await;
    let settled = async |bench: &Bench| {
        let quota = bench.get(&RESOURCE_QUOTAS, NAMESPACE, "q").await.unwrap();
        let used = &quota["status"]["used"];
        counts(bench, 1, 2).await
            && used["pods"] == "4"
            && used["requests.cpu"] == "400m"
            && used["count/jobs.batch"] == "1"
    };
    bench.see("one end is counted", settled).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let before = versions(bench).await;
    if !bench.upstream() {
        return eprintln!("upstream's manager is not to be had: it takes nothing over");
    }
    // That it leads shows in what it does.
    let sign =
        json!({ "replicas": 1, "selector": { "app": "sign" }, "template": template("sign", "Always") });
    create(bench, &REPLICATION_CONTROLLERS, "sign", sign).await;
    bench
        .see("upstream creates a pod", async |bench| {
            let rc = bench
                .get(&REPLICATION_CONTROLLERS, NAMESPACE, "sign")
                .await
                .unwrap();
            rc["status"]["replicas"] == 1
        })
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(
        versions(bench).await[..3],
        before[..3],
        "upstream finds what we wrote to be its own"
    );
    end_one(bench).await;
    bench
        .see("upstream counts the second end", async |bench| {
            counts(bench, 2, 2).await
        })
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let before = versions(bench).await;
    bench.ours();
    let sign =
        json!({ "replicas": 1, "selector": { "app": "ours" }, "template": template("ours", "Always") });
    create(bench, &REPLICATION_CONTROLLERS, "ours", sign).await;
    bench
        .see("we create a pod", async |bench| {
            let rc = bench
                .get(&REPLICATION_CONTROLLERS, NAMESPACE, "ours")
                .await
                .unwrap();
            rc["status"]["replicas"] == 1
        })
        .await;
    assert_eq!(
        versions(bench).await[..3],
        before[..3],
        "we find what upstream wrote to be ours"
    );
    while !running(bench).await.is_empty() {
        end_one(bench).await;
    }
    bench
        .see("all four are counted", async |bench| {
            let job = bench.get(&JOBS, NAMESPACE, "j").await.unwrap();
            job["status"]["completionTime"].is_string()
                && job["status"]["completedIndexes"] == "0-3"
                && counts(bench, 4, 0).await
        })
        .await;
    let select = ListOptions::default().labels("batch.kubernetes.io/job-name=j");
    let pods = bench
        .client
        .list::<Value>(&PODS, NAMESPACE, &select)
        .await
        .unwrap();
    assert_eq!(pods.items.len(), 4, "no pod was replaced");
}
