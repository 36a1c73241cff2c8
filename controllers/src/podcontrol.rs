//! Creating and deleting the pods of a workload, one request each: what is expected of the cache, and the events.

use crate::api::Pod;
use crate::context::Context;
use crate::ownership::Expectations;
use crate::pods;
use machinery::client::{ApiError, Bytes, DeleteOptions};
use machinery::meta::resources::PODS;
use machinery::meta::{ObjectMeta, ObjectRef, PartialObject, Resource};

/// Acts for one owner. The expectations are to be raised before, by [`Expectations::creating`] or [`Expectations::deleting`].
pub struct PodControl<'a> {
    context: &'a Context,
    expectations: &'a Expectations,
    owner: &'a ObjectMeta,
    about: ObjectRef,
    collection: String,
}

impl<'a> PodControl<'a> {
    pub fn new(
        context: &'a Context,
        expectations: &'a Expectations,
        resource: &Resource,
        owner: &'a ObjectMeta,
    ) -> Self {
        Self {
            context,
            expectations,
            owner,
            about: ObjectRef::new(resource, owner),
            collection: PODS.collection_path(&owner.namespace),
        }
    }

    /// The owner, for events.
    pub fn about(&self) -> &ObjectRef {
        &self.about
    }

    /// Creates a pod. That its namespace is going away is no error: nothing can be created there any more.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn create(&self, body: Bytes) -> Result<(), ApiError> {
        let (client, uid) = (&self.context.client, &self.owner.uid);
        match client
            .raw::<PartialObject>(http::Method::POST, &self.collection, "application/json", body)
            .await
        {
            Ok(pod) => {
                self.expectations.created(uid, Some(&pod.metadata.uid));
                self.context.events.normal(
                    &self.about,
                    "SuccessfulCreate",
                    format_args!("Created pod: {}", pod.metadata.name),
                );
                Ok(())
            }
            Err(error) => {
                self.expectations.created(uid, None);
                if error.is_namespace_terminating() {
                    return Ok(());
                }
                self.context.events.warning(
                    &self.about,
                    "FailedCreate",
                    format_args!("Error creating: {}", pods::reason(&error)),
                );
                Err(error)
            }
        }
    }

    /// Deletes a pod. One that is gone, or is another by now, is no error.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn delete(&self, pod: &Pod) -> Result<(), ApiError> {
        let meta = &pod.metadata;
        let options = DeleteOptions::default().uid(&*meta.uid);
        let client = &self.context.client;
        match client.delete(&PODS, &meta.namespace, &meta.name, &options).await {
            Ok(()) => {
                self.context.events.normal(
                    &self.about,
                    "SuccessfulDelete",
                    format_args!("Deleted pod: {}", meta.name),
                );
                Ok(())
            }
            Err(error) => {
                self.expectations.saw_deletion(&self.owner.uid, &meta.uid);
                if error.is_not_found() || error.is_conflict() {
                    return Ok(());
                }
                self.context.events.warning(
                    &self.about,
                    "FailedDelete",
                    format_args!("Error deleting: {}", pods::reason(&error)),
                );
                Err(error)
            }
        }
    }
}
