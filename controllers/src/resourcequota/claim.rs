//! PersistentVolumeClaims as quotas see them.

use crate::api::{Amounts, ModifyVolumeStatus, attributes_classes};
use machinery::arith::Quantity;
use machinery::arith::quantity::Format;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::Deserialize;

/// The annotation that named the storage class before there was a field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    storage_class_name: Option<Istr>,
    volume_attributes_class_name: Option<Istr>,
    resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "null_default")]
    requests: Amounts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(deserialize_with = "null_default")]
    allocated_resources: Amounts,
    current_volume_attributes_class_name: Option<Istr>,
    modify_volume_status: Option<ModifyVolumeStatus>,
}

impl Object for Claim {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Claim {
    /// The storage class, if one is named.
    pub fn class(&self) -> Option<&str> {
        self.metadata
            .annotations
            .get(CLASS)
            .or(self.spec.storage_class_name.as_deref())
            .filter(|class| !class.is_empty())
    }

    /// Whole bytes that are asked for, or already set aside if that is more.
    pub fn storage(&self) -> Option<Quantity> {
        let asked = *self.spec.resources.requests.get("storage")?;
        let largest = self
            .status
            .allocated_resources
            .get("storage")
            .map_or(asked, |held| asked.max(*held));
        let whole = Quantity::new(largest.value(), Format::BinarySi);
        Some(if whole == largest { largest } else { whole })
    }

    /// The volume attributes classes that the claim has to do with.
    pub fn attribute_classes(&self) -> Vec<&Istr> {
        attributes_classes(
            self.spec.volume_attributes_class_name.as_ref(),
            self.status.current_volume_attributes_class_name.as_ref(),
            self.status.modify_volume_status.as_ref(),
        )
    }
}
