//! Claiming pods.

use super::claim::claim_member;
use super::{Claim, Claimant, Claiming};
use crate::api::Pod;
use machinery::arith::Selector;
use machinery::client::{ApiError, Client, PatchKind};
use machinery::meta::resources::PODS;
use machinery::meta::{ObjectMeta, Resource};
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
        self.claim_members(pods, |_| true).await
    }

    /// The same, where a pod that is no `member` is treated as if it were not selected.
    ///
    /// # Errors
    /// As [`PodClaims::claim`].
    pub async fn claim_members(
        &self,
        pods: Vec<Arc<Pod>>,
        member: impl Fn(&Pod) -> bool,
    ) -> Result<Vec<Arc<Pod>>, ApiError> {
        let claimant = Claimant {
            meta: self.owner,
            selector: self.selector,
        };
        let mut claiming = Claiming::new(self.client, self.resource, self.owner);
        let mut owned = Vec::with_capacity(pods.len());
        for pod in pods {
            let decision = claim_member(&claimant, &pod.metadata, || member(&pod));
            let finalizers = match decision {
                Claim::Release => "$deleteFromPrimitiveList/finalizers",
                _ => "finalizers",
            };
            let keep = claiming
                .act(decision, &pod.metadata, async |patch| {
                    self.patch(&pod, &self.with_finalizer(patch, finalizers)).await
                })
                .await?;
            if keep {
                owned.push(pod);
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
