//! Mirror pods: the API's copies of static pods.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::client::{Client, DeleteOptions};
use machinery::meta::resources::PODS;
use serde::de::IgnoredAny;
use tracing::{debug, warn};

use crate::context::{Node, PodRef};
use crate::pod::dispatch::static_hash;
use crate::pod::spec::{CONFIG_MIRROR, PodExt as _, annotation};

/// A write that a name needs.
#[derive(Clone, Debug)]
pub enum Write {
    /// The static pod has no mirror.
    Create(PodRef),
    /// The mirror is of another static pod, or of none, or on its way out.
    Delete(PodRef),
}

/// What a name needs: pure.
#[must_use]
pub fn wanted(fixed: Option<&PodRef>, mirror: Option<&PodRef>) -> Option<Write> {
    match (fixed, mirror) {
        (None, None) => None,
        (Some(fixed), None) => Some(Write::Create(Arc::clone(fixed))),
        (None, Some(mirror)) => Some(Write::Delete(Arc::clone(mirror))),
        (Some(fixed), Some(mirror)) => {
            let same = annotation(mirror, CONFIG_MIRROR) == Some(static_hash(fixed));
            (!same || mirror.is_deleting()).then(|| Write::Delete(Arc::clone(mirror)))
        }
    }
}

/// Writes; after a failure it waits a little before it returns, so that the next try is not at once.
pub async fn write(api: &Client, node: &Node, write: Write) {
    let (pod, result) = match &write {
        Write::Create(pod) => {
            let Some(body) = body(pod, node) else {
                // The node is not registered yet: a mirror has to name it.
                tokio::time::sleep(Duration::from_millis(300)).await;
                return;
            };
            (
                pod,
                api.create::<IgnoredAny, _>(&PODS, pod.namespace(), &body)
                    .await
                    .map(drop),
            )
        }
        Write::Delete(pod) => {
            let options = DeleteOptions::default().grace(0).uid(pod.uid());
            (
                pod,
                api.delete(&PODS, pod.namespace(), pod.name(), &options).await,
            )
        }
    };
    match result {
        // The watch brings the news; give it a moment before the next look.
        Ok(()) => tokio::time::sleep(Duration::from_millis(500)).await,
        Err(error) if error.is_not_found() || error.is_already_exists() => {
            debug!(pod = pod.full(), %error, "mirror pod");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(error) => {
            warn!(pod = pod.full(), %error, "writing the mirror of a static pod: trying again");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}

fn body(pod: &core::Pod, node: &Node) -> Option<core::Pod> {
    let uid = node.object.borrow().as_ref()?.metadata.uid.clone()?;
    let mut mirror = pod.clone();
    mirror.metadata.uid = None;
    mirror
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(CONFIG_MIRROR.into(), static_hash(pod).into());
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.name.to_string(),
        uid,
        controller: Some(true),
        ..Default::default()
    }]);
    Some(mirror)
}
