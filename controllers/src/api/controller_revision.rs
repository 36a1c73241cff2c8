//! Revisions of DaemonSets and StatefulSets.

use machinery::meta::{Object, ObjectMeta};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An apps/v1 `ControllerRevision`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ControllerRevision {
    pub metadata: ObjectMeta,
    /// The very bytes that were stored: they are compared and hashed.
    pub data: Option<Box<RawValue>>,
    pub revision: i64,
}

impl Object for ControllerRevision {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl ControllerRevision {
    /// The stored bytes.
    pub fn data(&self) -> &str {
        self.data.as_deref().map_or("", RawValue::get)
    }
}
