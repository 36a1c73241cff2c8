//! Tells the API a pod's status: one write at a time, only what differs, the newest when the last one is through.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1 as core;
use machinery::client::{ApiError, Client, PatchKind};
use machinery::meta::resources::PODS;
use serde::Deserialize;
use serde_json::Value;
use tracing::trace;

use crate::status::{can_wait, patch};

/// Whom a status is written to: the pod, or a static pod's mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid, so that a namesake is not hit.
    pub uid: String,
}

/// What the API has.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Known {
    /// Metadata.
    #[serde(default)]
    pub metadata: KnownMeta,
    /// The status.
    #[serde(default)]
    pub status: core::PodStatus,
}

/// The part of metadata that orders what is known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownMeta {
    /// `resourceVersion`.
    #[serde(default)]
    pub resource_version: String,
}

impl Known {
    /// Of a pod that a watch has brought.
    #[must_use]
    pub fn of(pod: &core::Pod) -> Self {
        Self {
            metadata: KnownMeta {
                resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
            },
            status: pod.status.clone().unwrap_or_default(),
        }
    }

    /// Resource versions are numbers that grow (KEP-5504).
    fn version(&self) -> u64 {
        self.metadata.resource_version.parse().unwrap_or_default()
    }
}

/// The writer of one pod.
#[derive(Default)]
pub struct Publisher {
    known: Option<(String, Known)>,
    /// The last patch, and the resource version that it left behind: the API server may keep a field as it was (it does
    /// so for `resources` of a pod that has ended), and the same patch on the same version would change nothing again.
    last: Option<(Value, Option<String>)>,
    write: Option<BoxFuture<'static, Result<Known, ApiError>>>,
}

impl Publisher {
    /// What a watch has brought; older news than what a write returned is left aside.
    pub fn learn(&mut self, pod: &core::Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let known = Known::of(pod);
        let newer = match &self.known {
            Some((of, before)) => *of != uid || known.version() >= before.version(),
            None => true,
        };
        if newer {
            self.known = Some((uid, known));
        }
    }

    /// Whether there is no hurry to tell this status.
    #[must_use]
    pub fn can_wait(&self, target: &Target, status: &core::PodStatus, is_deleting: bool) -> bool {
        let known = self.known.as_ref().filter(|(uid, _)| *uid == target.uid);
        known.is_some_and(|(_, known)| can_wait(&known.status, status, is_deleting))
    }

    /// The status that the API has, as far as we know.
    #[must_use]
    pub fn told(&self) -> Option<&core::PodStatus> {
        self.known.as_ref().map(|(_, known)| &known.status)
    }

    /// A write is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.write.is_some()
    }

    /// Starts a write if the API has another status than this; whether the API is up to date.
    pub fn publish(&mut self, client: &Client, target: &Target, status: &core::PodStatus) -> bool {
        if self.write.is_some() {
            return false;
        }
        let Some((_, known)) = self.known.as_ref().filter(|(uid, _)| *uid == target.uid) else {
            return false;
        };
        let Some(body) = patch::between(&target.uid, &known.status, status) else {
            return true;
        };
        if self.last.as_ref().is_some_and(|(patch, left)| {
            *patch == body && left.as_ref() == Some(&known.metadata.resource_version)
        }) {
            return true;
        }
        self.last = Some((body.clone(), None));
        trace!(pod = target.name, %body, "status patch");
        let (client, target) = (client.clone(), target.clone());
        self.write = Some(Box::pin(async move {
            client
                .patch_status::<Known, _>(
                    &PODS,
                    &target.namespace,
                    &target.name,
                    PatchKind::Strategic,
                    &body,
                )
                .await
        }));
        false
    }

    /// Waits for the write under way; for ever when there is none.
    ///
    /// # Errors
    /// When it was refused.
    pub async fn written(&mut self) -> Result<(), ApiError> {
        let Some(write) = self.write.as_mut() else {
            return std::future::pending().await;
        };
        let result = write.await;
        self.write = None;
        let known = result?;
        if let Some((_, left)) = self.last.as_mut() {
            *left = Some(known.metadata.resource_version.clone());
        }
        if let Some((_, before)) = self.known.as_mut()
            && known.version() >= before.version()
        {
            *before = known;
        }
        Ok(())
    }
}

/// Where a pod's status goes: its own object, or the mirror of a static pod.
#[must_use]
pub fn target(pod: &core::Pod, mirror: Option<&Arc<core::Pod>>) -> Option<Target> {
    use super::spec::PodExt as _;
    let object = if pod.is_static() { mirror?.as_ref() } else { pod };
    Some(Target {
        namespace: object.namespace().into(),
        name: object.name().into(),
        uid: object.uid().into(),
    })
}
