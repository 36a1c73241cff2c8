//! CronJobs, and Jobs that clean up after themselves.

use crate::{Running, condition, create, event, get, namespace, overlay, server, until};
use controllers::config::Config;
use machinery::client::{Client, ListOptions, PatchKind};
use machinery::meta::resources::{CRON_JOBS, JOBS};
use serde_json::{Value, json};
use std::time::Duration;

async fn running(server: &machinery::testing::ApiServer) -> Running {
    let running = Running::new(server, Config::default());
    running
        .start(
            "cronjob-controller",
            "cronjob-controller",
            controllers::cronjob::sync::run,
        )
        .await;
    running
}

fn template() -> Value {
    json!({ "spec": { "containers": [{ "name": "c", "image": "i" }], "restartPolicy": "Never" } })
}

async fn jobs(client: &Client, space: &str) -> Vec<Value> {
    client
        .list_all(&JOBS, space, &ListOptions::default())
        .await
        .unwrap()
        .items
}

/// What the job controller says of a Job that is done.
async fn complete(client: &Client, space: &str, name: &str) {
    let now = jiff::Timestamp::now();
    let truth = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    let status = json!({ "status": { "startTime": now, "completionTime": now, "succeeded": 1, "uncountedTerminatedPods": {},
        "conditions": [truth("SuccessCriteriaMet"), truth("Complete")] } });
    client
        .patch_status::<Value, _>(&JOBS, space, name, PatchKind::Merge, &status)
        .await
        .unwrap();
}

/// `@every 1s` comes often enough for a test; names are by the minute, so there is one Job a minute.
async fn every_second(client: &Client, space: &str, more: Value) {
    namespace(client, space).await;
    let mut body = json!({ "metadata": { "name": "c" }, "spec": { "schedule": "@every 1s", "timeZone": "Europe/Berlin",
        "jobTemplate": { "metadata": { "labels": { "x": "y" } }, "spec": { "template": template() } } } });
    overlay(&mut body["spec"], more);
    create(client, &CRON_JOBS, space, body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_started_listed_and_seen_to_its_end() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    every_second(client, "cron-run", json!({ "concurrencyPolicy": "Forbid" })).await;
    let cron = until(client, &CRON_JOBS, "cron-run", "c", "a Job is active", |cron| {
        cron["status"]["active"][0]["kind"] == "Job"
    })
    .await;
    let job = jobs(client, "cron-run").await.remove(0);
    assert_eq!(cron["status"]["active"][0]["uid"], job["metadata"]["uid"]);
    assert!(cron["status"]["lastScheduleTime"].is_string());
    assert_eq!(
        (
            &job["metadata"]["labels"]["x"],
            &job["metadata"]["ownerReferences"][0]["kind"]
        ),
        (&json!("y"), &json!("CronJob"))
    );
    event(client, "cron-run", "c", "SuccessfulCreate").await;
    let patch = json!({ "spec": { "suspend": true } });
    client
        .patch::<Value, _>(&CRON_JOBS, "cron-run", "c", PatchKind::Merge, &patch)
        .await
        .unwrap();
    complete(client, "cron-run", job["metadata"]["name"].as_str().unwrap()).await;
    until(
        client,
        &CRON_JOBS,
        "cron-run",
        "c",
        "the list is empty, the success is told",
        |cron| cron["status"]["active"].is_null() && cron["status"]["lastSuccessfulTime"].is_string(),
    )
    .await;
    event(client, "cron-run", "c", "SawCompletedJob").await;
    // Without a history it goes.
    let patch = json!({ "spec": { "successfulJobsHistoryLimit": 0 } });
    client
        .patch::<Value, _>(&CRON_JOBS, "cron-run", "c", PatchKind::Merge, &patch)
        .await
        .unwrap();
    event(client, "cron-run", "c", "SuccessfulDelete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_cron_job_starts_nothing() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    every_second(client, "cron-pause", json!({ "suspend": true })).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(jobs(client, "cron-pause").await.is_empty());
    assert_eq!(
        get(client, &CRON_JOBS, "cron-pause", "c").await["status"],
        json!({})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_has_ended_goes_when_its_time_is_up() {
    let server = server!();
    let running = Running::new(server, Config::default());
    running
        .start(
            "ttl-after-finished-controller",
            "ttl-after-finished-controller",
            controllers::ttlafterfinished::sync::run,
        )
        .await;
    let client = &running.client;
    namespace(client, "ttl").await;
    let job = |ttl: i32| json!({ "metadata": { "name": format!("j{ttl}") }, "spec": { "ttlSecondsAfterFinished": ttl, "template": template() } });
    create(client, &JOBS, "ttl", job(1)).await;
    create(client, &JOBS, "ttl", job(1000)).await;
    complete(client, "ttl", "j1").await;
    complete(client, "ttl", "j1000").await;
    // Nobody collects garbage here, so that it is being deleted, dependents first, is all that can be seen.
    until(client, &JOBS, "ttl", "j1", "it is being deleted", |job| {
        job["metadata"]["finalizers"] == json!(["foregroundDeletion"])
    })
    .await;
    let long = get(client, &JOBS, "ttl", "j1000").await;
    assert!(
        long["metadata"]["deletionTimestamp"].is_null() && condition(&long, "Complete")["status"] == "True"
    );
}
