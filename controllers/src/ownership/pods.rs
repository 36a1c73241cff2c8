//! Claiming pods: what [`claim`](super::claim()) decides, done.

use super::{Claim, Claimant, adoption_patch, claim, release_patch};
use crate::api::Pod;
use machinery::arith::Selector;
use machinery::client::{ApiError, Client, PatchKind};
use machinery::meta::resources::PODS;
use machinery::meta::{ObjectMeta, OwnerRef, PartialObject, Resource};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::sync::Arc;

/// An owner that claims its pods.
pub struct PodClaims<'a> {
    pub client: &'a Client,
    pub resource: &'a Resource,
    pub owner: &'a ObjectMeta,
    pub selector: &'a Selector,
    /// What pods get when they are adopted, and lose when they are released.
    pub finalizer: Option<&'static str>,
}

impl PodClaims<'_> {
    /// The pods that are the owner's, after adopting and releasing.
    ///
    /// # Errors
    /// When the API server refuses a change or cannot be reached.
    pub async fn claim(&self, pods: Vec<Arc<Pod>>) -> Result<Vec<Arc<Pod>>, ApiError> {
        let claimant = Claimant {
            meta: self.owner,
            selector: self.selector,
        };
        let mut owned = Vec::with_capacity(pods.len());
        let mut may_adopt = None;
        for pod in pods {
            match claim(&claimant, &pod.metadata) {
                Claim::Ignore => {}
                Claim::Own => owned.push(pod),
                Claim::Adopt => {
                    if may_adopt.is_none() {
                        may_adopt = Some(self.may_adopt().await?);
                    }
                    let owner = OwnerRef::controller(self.resource, self.owner);
                    let patch = self.with_finalizer(adoption_patch(&owner, &pod.metadata.uid), "finalizers");
                    if may_adopt == Some(true) && self.patch(&pod, &patch).await? {
                        owned.push(pod);
                    }
                }
                Claim::Release => {
                    let patch = self.with_finalizer(
                        release_patch(&self.owner.uid, &pod.metadata.uid),
                        "$deleteFromPrimitiveList/finalizers",
                    );
                    self.patch(&pod, &patch).await?;
                }
            }
        }
        Ok(owned)
    }

    fn with_finalizer(&self, mut patch: Value, key: &str) -> Value {
        if let Some(finalizer) = self.finalizer
            && let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert(key.to_owned(), json!([finalizer]));
        }
        patch
    }

    /// Asks the API server, since the cache may not show yet that the owner is being deleted.
    async fn may_adopt(&self) -> Result<bool, ApiError> {
        let owner = self.owner;
        match self
            .client
            .get::<PartialObject>(self.resource, &owner.namespace, &owner.name)
            .await
        {
            Ok(fresh) => Ok(fresh.metadata.uid == owner.uid && !fresh.metadata.is_deleting()),
            Err(gone) if gone.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the pod was there to patch.
    async fn patch(&self, pod: &Pod, patch: &Value) -> Result<bool, ApiError> {
        let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
        match self
            .client
            .patch::<IgnoredAny, _>(&PODS, namespace, name, PatchKind::Strategic, patch)
            .await
        {
            Ok(_) => Ok(true),
            Err(gone) if gone.is_not_found() || gone.is_invalid() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
