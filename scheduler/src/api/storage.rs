//! Persistent volume claims, persistent volumes and storage classes.

use machinery::arith::node_affinity::NodeSelector;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::{Deserialize, Deserializer};

/// Says that a claim's binding has been completed by the volume controller.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The storage class of a claim, before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// A claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeClaim {
    pub meta: ObjectMeta,
    /// The volume that it is, or is to be, bound to.
    pub volume: Option<Istr>,
    /// Whether both sides agree that it is bound.
    pub bound: bool,
    /// Whether its volume is gone.
    pub lost: bool,
    pub class: Istr,
    /// Whether only one pod may use it at a time.
    pub one_pod: bool,
}

impl Object for VolumeClaim {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireClaim {
    metadata: ObjectMeta,
    spec: ClaimSpec,
    status: ClaimStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    volume_name: Istr,
    storage_class_name: Istr,
    #[serde(deserialize_with = "null_default")]
    access_modes: Vec<Istr>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimStatus {
    phase: Istr,
}

impl<'de> Deserialize<'de> for VolumeClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireClaim {
            metadata: mut meta,
            spec,
            status,
        } = WireClaim::deserialize(deserializer)?;
        let bound = !spec.volume_name.is_empty() && meta.annotations.contains_key(BIND_COMPLETED);
        let class = meta
            .annotations
            .get(CLASS_ANNOTATION)
            .map_or(spec.storage_class_name, Istr::from);
        meta.annotations = Default::default();
        meta.labels = Default::default();
        meta.finalizers = Vec::new();
        Ok(VolumeClaim {
            meta,
            volume: Some(spec.volume_name).filter(|name| !name.is_empty()),
            bound,
            lost: status.phase == "Lost",
            class,
            one_pod: spec.access_modes.iter().any(|mode| mode == "ReadWriteOncePod"),
        })
    }
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Volume {
    pub metadata: ObjectMeta,
    pub spec: VolumeSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    pub node_affinity: Option<VolumeNodeAffinity>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    pub required: Option<NodeSelector>,
}

impl Object for Volume {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// A storage class.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    pub metadata: ObjectMeta,
    pub volume_binding_mode: Option<Istr>,
}

impl StorageClass {
    /// Whether claims of the class are bound only when a pod that uses them is scheduled.
    pub fn waits_for_consumer(&self) -> bool {
        self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }
}

impl Object for StorageClass {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_bound_when_the_controller_says_so() {
        let claim = |annotations: &str| -> VolumeClaim {
            let text = format!(
                r#"{{"metadata":{{"name":"c","annotations":{{{annotations}}}}},"spec":{{"volumeName":"v","storageClassName":"s","accessModes":["ReadWriteOncePod"]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert!(!claim("").bound);
        let bound = claim(r#""pv.kubernetes.io/bind-completed":"yes""#);
        assert!(bound.bound && bound.one_pod && bound.class == "s");
    }
}
