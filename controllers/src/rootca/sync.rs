//! Watches and writes.

use super::plan::{self, ConfigMap, DESCRIPTION, DESCRIPTION_TEXT, KEY, NAME, Write};
use crate::context::Context;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::client::Source;
use machinery::meta::resources::CONFIG_MAPS;
use machinery::meta::{Istr, ObjectKey};
use machinery::queue::{Next, Queue};
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let authority: Arc<str> = match authority(&context).await {
        Ok(Some(text)) => text.into(),
        Ok(None) => {
            tracing::warn!("no authority to publish: give --root-ca-file, or a kubeconfig with one");
            return context.stop.cancelled().await;
        }
        Err(problem) => {
            tracing::error!("no authority to publish: {problem}");
            return context.stop.cancelled().await;
        }
    };
    let namespaces = context.caches.namespaces().clone();
    let maps: Cache<ConfigMap> = Cache::builder(context.caches.client(), &CONFIG_MAPS)
        .fields(format!("metadata.name={NAME}"))
        .start(&context.stop);
    let queue: Queue<Istr> = Queue::new("root_ca_cert_publisher");
    let added = queue.clone();
    namespaces.subscribe(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            added.add(event.object().metadata.name.clone());
        }
    });
    let changed = queue.clone();
    maps.subscribe(move |event| {
        if !matches!(event, Event::Added(_)) {
            changed.add(event.object().metadata.namespace.clone());
        }
    });
    tokio::join!(namespaces.synced(), maps.synced());
    let stop = context.stop.clone();
    until_stopped(&queue, 1, &stop, move |name: Istr| {
        let (context, namespaces, maps, authority) = (
            context.clone(),
            namespaces.clone(),
            maps.clone(),
            authority.clone(),
        );
        async move {
            let Some(namespace) = namespaces.get(&ObjectKey::cluster(&name)) else {
                return Ok(Next::Done);
            };
            let held = maps.get_named(&name, NAME);
            let mut body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { KEY: &*authority },
                "metadata": { "name": NAME, "namespace": name, "annotations": { DESCRIPTION: DESCRIPTION_TEXT } } });
            let answer = match (plan::plan(&namespace, held.as_deref(), &authority), held) {
                (Write::Nothing, _) => return Ok(Next::Done),
                (Write::Update, Some(held)) => {
                    let mut metadata = held.metadata.clone();
                    metadata.annotations.insert(DESCRIPTION, DESCRIPTION_TEXT);
                    body["metadata"] = json!(metadata);
                    context
                        .client
                        .update::<IgnoredAny, _>(&CONFIG_MAPS, &name, NAME, &body)
                        .await
                }
                _ => {
                    context
                        .client
                        .create::<IgnoredAny, _>(&CONFIG_MAPS, &name, &body)
                        .await
                }
            };
            match answer {
                Err(error) if !error.is_already_exists() && !error.is_namespace_terminating() => Err(error),
                _ => Ok(Next::Done),
            }
        }
    })
    .await;
}

/// The authority of `--root-ca-file`, or the one that we trust ourselves.
pub(crate) async fn authority(context: &Context) -> Result<Option<String>, String> {
    let path = match (&context.config.root_ca_file, &context.client.config().ca) {
        (Some(path), _) | (None, Some(Source::File(path))) => path.clone(),
        (None, Some(Source::Data(bytes))) => {
            return String::from_utf8(bytes.to_vec())
                .map(Some)
                .map_err(|problem| problem.to_string());
        }
        (None, None) => return Ok(None),
    };
    let text = tokio::fs::read_to_string(&path)
        .await
        .map_err(|problem| format!("cannot read {}: {problem}", path.display()))?;
    Ok(Some(text))
}
