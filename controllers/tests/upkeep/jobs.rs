//! Jobs, with the tests in the kubelet's place.

use crate::{Running, condition, create, event, get, namespace, overlay, server, until};
use controllers::config::Config;
use machinery::client::{Client, ListOptions, PatchKind};
use machinery::meta::resources::{JOBS, PODS};
use serde_json::{Value, json};
use std::time::Duration;

const TRACKING: &str = "batch.kubernetes.io/job-tracking";

async fn running(server: &machinery::testing::ApiServer) -> Running {
    let running = Running::new(server, Config::default());
    running
        .start("job-controller", "job-controller", controllers::job::sync::run)
        .await;
    running
}

async fn start(client: &Client, space: &str, name: &str, spec: Value) {
    let mut body = json!({ "metadata": { "name": name }, "spec": { "template": { "spec": {
        "containers": [{ "name": "c", "image": "i" }], "restartPolicy": "Never" } } } });
    overlay(&mut body["spec"], spec);
    create(client, &JOBS, space, body).await;
}

async fn job(client: &Client, space: &str, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(client, &JOBS, space, name, what, holds).await
}

async fn pods(client: &Client, space: &str, job: &str) -> Vec<Value> {
    let select = ListOptions::default().labels(format!("batch.kubernetes.io/job-name={job}"));
    client.list_all(&PODS, space, &select).await.unwrap().items
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// What a kubelet says of a pod that has ended.
async fn end(client: &Client, pod: &Value, code: i32) {
    let now = jiff::Timestamp::now();
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let status = json!({ "status": { "phase": phase, "containerStatuses": [{ "name": "c", "image": "i", "imageID": "i", "ready": false,
        "restartCount": 0, "state": { "terminated": { "exitCode": code, "finishedAt": now } } }] } });
    let (space, name) = (pod["metadata"]["namespace"].as_str().unwrap(), name(pod));
    client
        .patch_status::<Value, _>(&PODS, space, name, PatchKind::Strategic, &status)
        .await
        .unwrap();
}

fn index(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_to_its_end_and_counts_each_pod_once() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "job-run").await;
    start(
        client,
        "job-run",
        "j",
        json!({ "parallelism": 2, "completions": 5 }),
    )
    .await;
    let mut seen = std::collections::BTreeSet::new();
    while condition(&get(client, &JOBS, "job-run", "j").await, "Complete").is_null() {
        for pod in pods(client, "job-run", "j").await {
            if pod["status"]["phase"] == "Pending" && seen.insert(name(&pod).to_owned()) {
                assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
                end(client, &pod, 0).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = get(client, &JOBS, "job-run", "j").await;
    let status = &done["status"];
    assert_eq!(
        (
            &status["succeeded"],
            &status["failed"],
            &status["ready"],
            &status["terminating"]
        ),
        (&json!(5), &Value::Null, &json!(0), &json!(0)),
        "{status:#}"
    );
    assert_eq!(
        condition(&done, "SuccessCriteriaMet")["reason"],
        "CompletionsReached"
    );
    assert!(status["completionTime"].is_string() && status["startTime"].is_string());
    let pods = pods(client, "job-run", "j").await;
    assert_eq!((pods.len(), seen.len()), (5, 5), "no pod too many");
    assert!(pods.iter().all(|pod| pod["metadata"]["finalizers"].is_null()));
    event(client, "job-run", "j", "Completed").await;
    event(client, "job-run", "j", "SuccessfulCreate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_a_policy_names_ends_the_job_early() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "job-fail").await;
    let policy =
        json!({ "rules": [{ "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } }] });
    let spec = json!({ "parallelism": 2, "completions": 4, "podFailurePolicy": policy });
    start(client, "job-fail", "j", spec).await;
    job(client, "job-fail", "j", "two pods", |job| {
        job["status"]["active"] == 2
    })
    .await;
    let first = pods(client, "job-fail", "j").await.remove(0);
    end(client, &first, 42).await;
    let failed = job(client, "job-fail", "j", "it has failed", |job| {
        condition(job, "Failed")["status"] == "True"
    })
    .await;
    let why = condition(&failed, "Failed");
    assert_eq!(why["reason"], "PodFailurePolicy");
    let message = format!(
        "Container c for pod job-fail/{} failed with exit code 42 matching FailJob rule at index 0",
        name(&first)
    );
    assert_eq!(why["message"], message);
    assert_eq!(
        failed["status"]["failed"], 2,
        "the pod that was stopped failed, too"
    );
    event(client, "job-fail", "j", "PodFailurePolicy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indexed_job_succeeds_by_policy() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "job-index").await;
    let spec = json!({ "parallelism": 3, "completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
        "successPolicy": { "rules": [{ "succeededIndexes": "0-1", "succeededCount": 1 }] } });
    start(client, "job-index", "j", spec).await;
    job(client, "job-index", "j", "three pods", |job| {
        job["status"]["active"] == 3
    })
    .await;
    let all = pods(client, "job-index", "j").await;
    let mut indexes: Vec<_> = all.iter().map(index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, ["0", "1", "2"]);
    let two = all.iter().find(|pod| index(pod) == "2").unwrap();
    assert_eq!(
        (
            &two["spec"]["hostname"],
            &two["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"]
        ),
        (&json!("j-2"), &json!("0"))
    );
    end(client, two, 0).await;
    job(client, "job-index", "j", "index 2 is done", |job| {
        job["status"]["completedIndexes"] == "2"
    })
    .await;
    end(client, all.iter().find(|pod| index(pod) == "1").unwrap(), 0).await;
    let done = job(client, "job-index", "j", "it is complete", |job| {
        condition(job, "Complete")["status"] == "True"
    })
    .await;
    assert_eq!(
        condition(&done, "Complete")["message"],
        "Matched rules at index 0"
    );
    let status = &done["status"];
    assert_eq!(
        (&status["completedIndexes"], &status["failed"], &status["active"]),
        (&json!("1,2"), &Value::Null, &Value::Null),
        "{status:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_suspended_and_resumed() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "job-pause").await;
    start(
        client,
        "job-pause",
        "j",
        json!({ "parallelism": 2, "completions": 2, "suspend": true }),
    )
    .await;
    let suspend = async |on: bool| {
        let patch = json!({ "spec": { "suspend": on } });
        client
            .patch::<Value, _>(&JOBS, "job-pause", "j", PatchKind::Merge, &patch)
            .await
            .unwrap();
    };
    let paused = job(client, "job-pause", "j", "it is suspended", |job| {
        condition(job, "Suspended")["status"] == "True"
    })
    .await;
    assert!(paused["status"]["startTime"].is_null() && pods(client, "job-pause", "j").await.is_empty());
    suspend(false).await;
    job(client, "job-pause", "j", "it runs", |job| {
        job["status"]["active"] == 2
    })
    .await;
    suspend(true).await;
    let paused = job(client, "job-pause", "j", "it is suspended again", |job| {
        job["status"]["active"].is_null() && condition(job, "Suspended")["status"] == "True"
    })
    .await;
    assert!(
        paused["status"]["failed"].is_null(),
        "pods that had to go have not failed"
    );
    event(client, "job-pause", "j", "Suspended").await;
    event(client, "job-pause", "j", "Resumed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_adopted_released_and_freed() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "job-adopt").await;
    start(client, "job-adopt", "j", json!({})).await;
    job(client, "job-adopt", "j", "a pod", |job| {
        job["status"]["active"] == 1
    })
    .await;
    let first = pods(client, "job-adopt", "j").await.remove(0);
    let patch = async |patch: Value| {
        client
            .patch::<Value, _>(&PODS, "job-adopt", name(&first), PatchKind::Merge, &patch)
            .await
            .unwrap();
    };
    let pod = async |what: &str, holds: fn(&Value) -> bool| {
        until(client, &PODS, "job-adopt", name(&first), what, holds).await;
    };
    patch(json!({ "metadata": { "ownerReferences": null, "finalizers": null } })).await;
    pod("it is adopted, and held again", |pod| {
        pod["metadata"]["ownerReferences"][0]["name"] == "j"
            && pod["metadata"]["finalizers"] == json!([TRACKING])
    })
    .await;
    patch(json!({ "metadata": { "labels": null } })).await;
    pod("it is released and free", |pod| {
        pod["metadata"]["ownerReferences"].is_null() && pod["metadata"]["finalizers"].is_null()
    })
    .await;
    // Somebody else's finalizer without a Job: nobody would ever take it off.
    let orphan = json!({ "metadata": { "name": "orphan", "finalizers": [TRACKING] }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    create(client, &PODS, "job-adopt", orphan).await;
    until(client, &PODS, "job-adopt", "orphan", "it is free", |pod| {
        pod["metadata"]["finalizers"].is_null()
    })
    .await;
}
