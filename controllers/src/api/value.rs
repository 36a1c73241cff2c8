//! Bodies of writes.

use machinery::meta::{ObjectMeta, Resource};
use serde::Serialize;

/// An object on its way to the API server: type, metadata and the rest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<M, B> {
    pub api_version: String,
    pub kind: String,
    pub metadata: M,
    #[serde(flatten)]
    pub body: B,
}

impl<M, B> Object<M, B> {
    pub fn new(resource: &Resource, metadata: M, body: B) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            metadata,
            body,
        }
    }
}

/// A write of the status subresource: the metadata must be whole, since a status update may change some of it.
#[derive(Serialize)]
pub struct Status<S> {
    pub status: S,
}

/// `metadata` and `status` as a status update of `resource`.
pub fn status_update<'a, S: Serialize>(
    resource: &Resource,
    metadata: &'a ObjectMeta,
    status: S,
) -> Object<&'a ObjectMeta, Status<S>> {
    Object::new(resource, metadata, Status { status })
}
