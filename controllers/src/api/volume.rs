//! PersistentVolumes.

use machinery::meta::{Istr, Object, ObjectMeta, ObjectRef, null_default};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// A core/v1 `PersistentVolume`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    pub metadata: ObjectMeta,
    pub spec: VolumeSpec,
    pub status: VolumeStatus,
}

impl Object for Volume {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Volume {
    /// The volume attributes class that it has, if any.
    pub fn attributes_class(&self) -> Option<&Istr> {
        let class = self.spec.volume_attributes_class_name.as_ref();
        class.filter(|class| !class.is_empty())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    #[serde(deserialize_with = "null_default")]
    pub capacity: BTreeMap<Istr, Istr>,
    #[serde(deserialize_with = "null_default")]
    pub access_modes: Vec<Istr>,
    pub claim_ref: Option<ObjectRef>,
    #[serde(rename = "persistentVolumeReclaimPolicy")]
    pub reclaim_policy: Istr,
    pub storage_class_name: Istr,
    pub volume_mode: Istr,
    pub volume_attributes_class_name: Option<Istr>,
    /// Set for a volume of a CSI driver.
    pub csi: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeStatus {
    pub phase: Istr,
    pub message: Box<str>,
    pub reason: Istr,
}

/// A storage.k8s.io/v1 `StorageClass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    pub metadata: ObjectMeta,
    pub provisioner: Istr,
    pub volume_binding_mode: Istr,
}

impl Object for StorageClass {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}
