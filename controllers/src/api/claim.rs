//! PersistentVolumeClaims.

use super::Condition;
use machinery::arith::LabelSelector;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A core/v1 `PersistentVolumeClaim`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    pub metadata: ObjectMeta,
    pub spec: ClaimSpec,
    pub status: ClaimStatus,
}

impl Object for Claim {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    #[serde(deserialize_with = "null_default")]
    pub access_modes: Vec<Istr>,
    pub selector: Option<LabelSelector>,
    pub resources: ClaimResources,
    pub volume_name: Istr,
    /// Absent where the default class is to be filled in; empty for no class.
    pub storage_class_name: Option<Istr>,
    pub volume_mode: Istr,
    pub volume_attributes_class_name: Option<Istr>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimResources {
    #[serde(deserialize_with = "null_default")]
    pub requests: BTreeMap<Istr, Istr>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimStatus {
    pub phase: Istr,
    #[serde(deserialize_with = "null_default")]
    pub access_modes: Vec<Istr>,
    #[serde(deserialize_with = "null_default")]
    pub capacity: BTreeMap<Istr, Istr>,
    pub current_volume_attributes_class_name: Option<Istr>,
    pub modify_volume_status: Option<ModifyVolumeStatus>,
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<Condition>,
}

/// How far a change of the volume's attributes is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModifyVolumeStatus {
    pub target_volume_attributes_class_name: Istr,
}

/// The volume attributes classes that a claim names: the one it asks for, the one its volume has, and the one it is being changed to.
pub fn attributes_classes<'c>(
    asked: Option<&'c Istr>,
    current: Option<&'c Istr>,
    modify: Option<&'c ModifyVolumeStatus>,
) -> Vec<&'c Istr> {
    let target = modify.map(|modify| &modify.target_volume_attributes_class_name);
    [asked, current, target]
        .into_iter()
        .flatten()
        .filter(|class| !class.is_empty())
        .collect()
}

impl Claim {
    /// See [`attributes_classes`].
    pub fn attributes_classes(&self) -> Vec<&Istr> {
        attributes_classes(
            self.spec.volume_attributes_class_name.as_ref(),
            self.status.current_volume_attributes_class_name.as_ref(),
            self.status.modify_volume_status.as_ref(),
        )
    }
}
