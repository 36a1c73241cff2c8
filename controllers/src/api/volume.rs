//! PersistentVolumes.

use machinery::arith::node_affinity::NodeSelector;
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
    pub node_affinity: Option<VolumeNodeAffinity>,
    /// Set for a volume that is a folder of a machine, which upstream's own plugin can delete and recycle.
    pub host_path: Option<HostPath>,
    /// Set for a volume of a CSI driver.
    pub csi: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HostPath {
    pub path: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    pub required: Option<NodeSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeStatus {
    pub phase: Istr,
    pub message: Box<str>,
    pub reason: Istr,
}
