//! Slim object metadata.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Annotations, Istr, Labels, ObjectKey, OwnerRef, Time};

/// An object as a component sees it: any type that decodes from JSON and carries metadata.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    fn meta(&self) -> &ObjectMeta;
}

/// What a cache asks of what it holds. Every [`Object`] answers; a type that keeps less than an [`ObjectMeta`], because there
/// are many of it, answers for itself.
pub trait Cached: DeserializeOwned + Send + Sync + 'static {
    /// Namespace and name.
    fn key(&self) -> ObjectKey;
    /// Tells objects apart that had the same name one after the other; empty where that makes no difference.
    fn uid(&self) -> &str {
        ""
    }
    /// The version that a watch goes on from.
    fn resource_version(&self) -> Cow<'_, str>;
}

impl<T: Object> Cached for T {
    fn key(&self) -> ObjectKey {
        self.meta().key()
    }
    fn uid(&self) -> &str {
        &self.meta().uid
    }
    fn resource_version(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.meta().resource_version)
    }
}

/// `metav1.ObjectMeta` without what nobody reads (`managedFields`, `selfLink`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub generate_name: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub resource_version: Box<str>,
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub owner_references: Vec<OwnerRef>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub finalizers: Vec<Istr>,
}

impl ObjectMeta {
    /// Namespace and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The owner that manages the object, if any (`metav1.GetControllerOf`).
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.is_controller())
    }

    /// Whether the owner with this uid manages the object.
    pub fn is_controlled_by(&self, uid: &Istr) -> bool {
        self.controller().is_some_and(|owner| owner.uid == *uid)
    }

    /// Whether deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Whether `finalizer` is set.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|held| held == finalizer)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Decodes `null` as the default; for `#[serde(default, deserialize_with = "null_default")]`.
pub fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `metav1.ListMeta`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    pub resource_version: Box<str>,
    #[serde(rename = "continue")]
    pub continue_token: Option<Box<str>>,
    pub remaining_item_count: Option<i64>,
}

/// Just the metadata of an object of any kind: what the garbage collector caches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialObject {
    pub metadata: ObjectMeta,
}

impl Object for PartialObject {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_a_round_trip_without_managed_fields() {
        let text = r#"{"name":"web","namespace":"default","uid":"u1","resourceVersion":"42","generation":3,
            "creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web"},"annotations":null,
            "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","uid":"u0","controller":true,"blockOwnerDeletion":true}],
            "finalizers":["a/b"],"managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{}}}]}"#;
        let meta: ObjectMeta = serde_json::from_str(text).unwrap();
        assert_eq!(meta.key().to_string(), "default/web");
        assert!(meta.is_controlled_by(&"u0".into()));
        assert!(meta.has_finalizer("a/b"));
        let written = serde_json::to_value(&meta).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(text).unwrap();
        expected
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "managedFields" && key != "annotations");
        assert_eq!(written, expected);
    }
}
