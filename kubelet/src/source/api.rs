//! The pods that the API server has bound to this node: one watch.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use machinery::cache::{Cache, Event};
use machinery::client::Client;
use machinery::meta::resources::PODS;
use machinery::meta::{Object, ObjectMeta};
use serde::{Deserialize, Deserializer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::PodRef;
use crate::pod::dispatch::Input;

/// A pod, shared, with as much metadata beside it as the cache needs.
pub struct ApiPod {
    meta: ObjectMeta,
    pod: PodRef,
}

impl<'de> Deserialize<'de> for ApiPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pod = core::Pod::deserialize(deserializer)?;
        // Nobody here reads it, and it is the largest part of many pods.
        pod.metadata.managed_fields = None;
        let from = &pod.metadata;
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        let meta = ObjectMeta {
            name: text(&from.name),
            namespace: text(&from.namespace),
            uid: text(&from.uid),
            resource_version: from.resource_version.as_deref().unwrap_or_default().into(),
            ..Default::default()
        };
        Ok(Self {
            meta,
            pod: Arc::new(pod),
        })
    }
}

impl Object for ApiPod {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
}

/// Follows the pods of `node`; the cache lives as long as it is held.
pub async fn run(
    client: Client,
    node: Arc<str>,
    inputs: mpsc::UnboundedSender<Input>,
    stop: CancellationToken,
) {
    let cache: Cache<ApiPod> = Cache::builder(&client, &PODS)
        .fields(format!("spec.nodeName={node}"))
        .start(&stop);
    let sender = inputs.clone();
    cache.subscribe(move |event| {
        let input = match event {
            Event::Added(new) => Input::Pod(Arc::clone(&new.pod)),
            Event::Updated { old, new } => {
                // Deleted and made again between two events: the old one has gone.
                if old.meta.uid != new.meta.uid {
                    let _ = sender.send(Input::Gone(Arc::clone(&old.pod)));
                }
                Input::Pod(Arc::clone(&new.pod))
            }
            Event::Deleted(last) => Input::Gone(Arc::clone(&last.pod)),
        };
        let _ = sender.send(input);
    });
    tokio::select! {
        () = cache.synced() => {}
        () = stop.cancelled() => return,
    }
    let _ = inputs.send(Input::ApiSynced);
    stop.cancelled().await;
}
