//! Reading and writing revisions.

use crate::api::{ControllerRevision, Object};
use crate::caches::{BY_OWNER, orphans_of};
use machinery::cache::Cache;
use machinery::client::{ApiError, Client, DeleteOptions, PatchKind};
use machinery::meta::resources::CONTROLLER_REVISIONS;
use machinery::meta::{Annotations, Istr, Labels, ObjectMeta, OwnerRef};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The revisions that one kind of owner works on.
#[derive(Clone)]
pub struct History {
    client: Client,
    cache: Cache<ControllerRevision>,
}

#[derive(Serialize)]
struct Body<'a> {
    data: Option<&'a RawValue>,
    revision: i64,
}

/// A revision that is to be made.
pub struct Draft<'a> {
    pub owner: &'a OwnerRef,
    pub labels: Labels,
    pub annotations: &'a Annotations,
    pub data: &'a RawValue,
    pub revision: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: &'a Annotations,
    owner_references: [&'a OwnerRef; 1],
}

impl History {
    pub fn new(client: &Client, cache: &Cache<ControllerRevision>) -> Self {
        Self {
            client: client.clone(),
            cache: cache.clone(),
        }
    }

    /// The owner's revisions, and those of its namespace that nobody owns.
    pub fn candidates(&self, owner: &ObjectMeta) -> Vec<Arc<ControllerRevision>> {
        let mut all = self.cache.by_index(BY_OWNER, &owner.uid);
        all.extend(
            self.cache
                .by_index(BY_OWNER, &orphans_of(&owner.namespace))
                .into_iter()
                .filter(|revision| revision.metadata.namespace == owner.namespace),
        );
        all
    }

    /// Reads one past the cache.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn get(&self, namespace: &Istr, name: &str) -> Result<ControllerRevision, ApiError> {
        self.client.get(&CONTROLLER_REVISIONS, namespace, name).await
    }

    /// Creates one.
    ///
    /// # Errors
    /// As the API server says; one of that name may exist.
    pub async fn create(
        &self,
        namespace: &Istr,
        name: &str,
        draft: &Draft<'_>,
    ) -> Result<ControllerRevision, ApiError> {
        let metadata = Metadata {
            name,
            labels: &draft.labels,
            annotations: draft.annotations,
            owner_references: [draft.owner],
        };
        let body = Body {
            data: Some(draft.data),
            revision: draft.revision,
        };
        let object = Object::new(&CONTROLLER_REVISIONS, metadata, body);
        self.client
            .create(&CONTROLLER_REVISIONS, namespace, &object)
            .await
    }

    /// Writes a revision with other metadata or another number.
    ///
    /// # Errors
    /// As the API server says; somebody else may have written it.
    pub async fn update(&self, revision: &ControllerRevision) -> Result<ControllerRevision, ApiError> {
        let meta = &revision.metadata;
        let body = Body {
            data: revision.data.as_deref(),
            revision: revision.revision,
        };
        let object = Object::new(&CONTROLLER_REVISIONS, meta, body);
        self.client
            .update(&CONTROLLER_REVISIONS, &meta.namespace, &meta.name, &object)
            .await
    }

    /// Adopts or releases one; whether it was there to patch.
    ///
    /// # Errors
    /// As the API server says, but for one that is gone or somebody else's by now.
    pub async fn patch(&self, meta: &ObjectMeta, patch: &Value) -> Result<bool, ApiError> {
        match self
            .client
            .patch::<IgnoredAny, _>(
                &CONTROLLER_REVISIONS,
                &meta.namespace,
                &meta.name,
                PatchKind::Strategic,
                patch,
            )
            .await
        {
            Ok(_) => Ok(true),
            Err(gone) if gone.is_not_found() || gone.is_invalid() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes one; it may be gone.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn delete(&self, meta: &ObjectMeta) -> Result<(), ApiError> {
        match self
            .client
            .delete(
                &CONTROLLER_REVISIONS,
                &meta.namespace,
                &meta.name,
                &DeleteOptions::default().uid(&*meta.uid),
            )
            .await
        {
            Err(gone) if gone.is_not_found() => Ok(()),
            other => other,
        }
    }
}
