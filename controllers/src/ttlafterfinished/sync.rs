//! Watches and deletes.

use super::plan::time_left;
use crate::api::Job;
use crate::context::Context;
use crate::work::until_stopped;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::cache::Cache;
use machinery::client::{Client, DeleteOptions, Propagation};
use machinery::meta::ObjectKey;
use machinery::meta::resources::JOBS;
use machinery::queue::{Next, Queue};

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let jobs = context.caches.jobs().clone();
    let queue: Queue<ObjectKey> = Queue::new("ttl_jobs_to_delete");
    let line = queue.clone();
    jobs.subscribe(move |event| {
        let job = event.object();
        if time_left(job, Timestamp::now()).is_some() {
            line.add(job.metadata.key());
        }
    });
    jobs.synced().await;
    let (client, stop) = (context.client.clone(), context.stop.clone());
    let workers = context.config.concurrent_ttl_after_finished_syncs;
    until_stopped(&queue, workers, &stop, move |key| {
        let (client, jobs) = (client.clone(), jobs.clone());
        async move { sync(&client, &jobs, &key).await }
    })
    .await;
}

async fn sync(client: &Client, jobs: &Cache<Job>, key: &ObjectKey) -> anyhow::Result<Next> {
    let Some(left) = jobs.get(key).and_then(|job| time_left(&job, Timestamp::now())) else {
        return Ok(Next::Done);
    };
    if !left.is_zero() {
        return Ok(Next::After(left));
    }
    // Somebody may just have given it more time.
    let fresh: Job = match client.get(&JOBS, &key.namespace, &key.name).await {
        Err(gone) if gone.is_not_found() => return Ok(Next::Done),
        other => other.with_context(|| format!("reading Job {key}, whose time is up"))?,
    };
    match time_left(&fresh, Timestamp::now()) {
        None => return Ok(Next::Done),
        Some(left) if !left.is_zero() => return Ok(Next::After(left)),
        Some(_) => {}
    }
    let options = DeleteOptions::default()
        .uid(&*fresh.metadata.uid)
        .propagation(Propagation::Foreground);
    match client.delete(&JOBS, &key.namespace, &key.name, &options).await {
        Err(gone) if gone.is_not_found() => Ok(Next::Done),
        other => other
            .map(|()| Next::Done)
            .with_context(|| format!("deleting Job {key}, whose time is up")),
    }
}
