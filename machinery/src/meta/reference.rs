//! References from one object to another.

use serde::{Deserialize, Serialize};

use super::{Istr, ObjectMeta, Resource};

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerRef {
    #[serde(default)]
    pub api_version: Istr,
    #[serde(default)]
    pub kind: Istr,
    #[serde(default)]
    pub name: Istr,
    #[serde(default)]
    pub uid: Istr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerRef {
    /// The reference with which a controller marks what it owns (`metav1.NewControllerRef`).
    pub fn controller(resource: &Resource, owner: &ObjectMeta) -> Self {
        OwnerRef {
            api_version: resource.api_version().as_str().into(),
            kind: resource.kind.as_ref().into(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// Whether this owner is the managing controller.
    pub fn is_controller(&self) -> bool {
        self.controller == Some(true)
    }
}

/// A `core/v1 ObjectReference`: what an event is about, what an endpoint or a binding points at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub api_version: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub resource_version: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field_path: Box<str>,
}

impl ObjectRef {
    /// A reference to the object with this metadata.
    pub fn new(resource: &Resource, meta: &ObjectMeta) -> Self {
        ObjectRef {
            kind: resource.kind.as_ref().into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: resource.api_version().as_str().into(),
            resource_version: meta.resource_version.clone(),
            field_path: Box::default(),
        }
    }

    /// The same object, a part of it: `spec.containers{web}`.
    #[must_use]
    pub fn with_field_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.field_path = path.into();
        self
    }
}
