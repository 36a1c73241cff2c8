//! Doing what [`claim`](super::claim()) decides.

use super::{Claim, adoption_patch, release_patch};
use machinery::client::{ApiError, Client};
use machinery::meta::{ObjectMeta, OwnerRef, PartialObject, Resource};
use serde_json::Value;

/// An owner that looks through the objects that may be its own. Whether it may adopt any is asked for once.
pub struct Claiming<'a> {
    client: &'a Client,
    resource: &'a Resource,
    owner: &'a ObjectMeta,
    may_adopt: Option<bool>,
}

impl<'a> Claiming<'a> {
    pub fn new(client: &'a Client, resource: &'a Resource, owner: &'a ObjectMeta) -> Self {
        Self {
            client,
            resource,
            owner,
            may_adopt: None,
        }
    }

    /// Acts on a decision about an object; whether the object is the owner's afterwards. `patch` sends a patch to it, and
    /// says whether it was there.
    ///
    /// # Errors
    /// When the API server refuses a change or cannot be reached.
    pub async fn act(
        &mut self,
        decision: Claim,
        object: &ObjectMeta,
        patch: impl AsyncFnOnce(Value) -> Result<bool, ApiError>,
    ) -> Result<bool, ApiError> {
        match decision {
            Claim::Ignore => Ok(false),
            Claim::Own => Ok(true),
            Claim::Adopt => {
                let owner = OwnerRef::controller(self.resource, self.owner);
                Ok(self.may_adopt().await? && patch(adoption_patch(&owner, &object.uid)).await?)
            }
            Claim::Release => {
                patch(release_patch(&self.owner.uid, &object.uid)).await?;
                Ok(false)
            }
        }
    }

    /// Asks the API server, since the cache may not show yet that the owner is being deleted.
    async fn may_adopt(&mut self) -> Result<bool, ApiError> {
        if let Some(known) = self.may_adopt {
            return Ok(known);
        }
        let owner = self.owner;
        let fresh = self
            .client
            .get::<PartialObject>(self.resource, &owner.namespace, &owner.name)
            .await;
        let may = match fresh {
            Ok(fresh) => fresh.metadata.uid == owner.uid && !fresh.metadata.is_deleting(),
            Err(gone) if gone.is_not_found() => false,
            Err(error) => return Err(error),
        };
        Ok(*self.may_adopt.insert(may))
    }
}
