//! Watches and writes: the two controllers.

use super::approve::rights;
use super::clean::is_over;
use super::request::SigningRequest;
use crate::context::Context;
use crate::rewrite;
use crate::work::until_stopped;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::{AccessReview, DeleteOptions, ResourceAttributes};
use machinery::meta::resources::CERTIFICATE_SIGNING_REQUESTS as REQUESTS;
use machinery::meta::{ObjectKey, Time};
use machinery::queue::{Next, Queue};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::time::Duration;

const WORKERS: usize = 5;
/// How often old requests are looked for.
const ROUND: Duration = Duration::from_secs(60 * 60);

/// Approves kubelets' requests until the context is stopped.
pub async fn approve(context: Context) {
    let requests: Cache<SigningRequest> = context.caches.signing_requests().clone();
    let queue: Queue<ObjectKey> = Queue::new("csrapproving");
    let adding = queue.clone();
    requests.subscribe(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            adding.add(event.object().metadata.key());
        }
    });
    requests.synced().await;
    let stop = context.stop.clone();
    until_stopped(&queue, WORKERS, &stop, move |key: ObjectKey| {
        let (requests, context) = (requests.clone(), context.clone());
        async move {
            let Some(request) = requests.get(&key) else {
                return anyhow::Ok(Next::Done);
            };
            decide(&context, &request)
                .await
                .with_context(|| format!("approving the request {key}"))
        }
    })
    .await;
}

async fn decide(context: &Context, request: &SigningRequest) -> anyhow::Result<Next> {
    let (client, spec) = (&context.client, &request.spec);
    let rights = rights(request)?;
    for right in &rights {
        let review = AccessReview {
            user: spec.username.clone(),
            uid: spec.uid.clone(),
            groups: spec.groups.clone(),
            extra: spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: REQUESTS.group.to_string(),
                resource: REQUESTS.plural.to_string(),
                verb: "create".to_owned(),
                subresource: right.subresource.to_owned(),
                version: "*".to_owned(),
                ..ResourceAttributes::default()
            }),
            ..AccessReview::default()
        };
        if !client.review_access(&review).await?.0 {
            continue;
        }
        let meta = &request.metadata;
        let Some(mut object) = rewrite::read(client, &REQUESTS, meta).await? else {
            return Ok(Next::BackOff); // written by somebody else: its event brings us back
        };
        let now = Time::now();
        let approved = json!({ "type": "Approved", "status": "True", "reason": "AutoApproved", "message": right.message,
            "lastUpdateTime": now, "lastTransitionTime": now });
        let held = &mut object["status"]["conditions"];
        let mut conditions: Vec<Value> = held.as_array().cloned().unwrap_or_default();
        conditions.push(approved);
        *held = Value::Array(conditions);
        client
            .update_sub::<IgnoredAny, _>(&REQUESTS, "", &meta.name, "approval", &object)
            .await?;
        return Ok(Next::Done);
    }
    if rights.is_empty() {
        return Ok(Next::Done);
    }
    // The right may come yet.
    tracing::debug!(request = %request.metadata.name, "recognized, but the user has no right to it");
    Ok(Next::BackOff)
}

/// Deletes old requests until the context is stopped.
pub async fn clean(context: Context) {
    let requests: Cache<SigningRequest> = context.caches.signing_requests().clone();
    requests.synced().await;
    loop {
        let now = Timestamp::now();
        for request in requests.list() {
            let meta = &request.metadata;
            if !is_over(&request, now) {
                continue;
            }
            let options = DeleteOptions::default().uid(&*meta.uid);
            let deleted = context.client.delete(&REQUESTS, "", &meta.name, &options).await;
            if let Err(error) = deleted
                && !error.is_not_found()
            {
                tracing::warn!(request = %meta.name, "deleting an old request: {error:#}");
            }
        }
        let waited = context.stop.run_until_cancelled(tokio::time::sleep(ROUND)).await;
        if waited.is_none() {
            return;
        }
    }
}
