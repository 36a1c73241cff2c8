//! StatefulSets.

use super::{Condition, Template};
use machinery::arith::{IntOrString, LabelSelector};
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// An apps/v1 `StatefulSet`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    pub metadata: ObjectMeta,
    pub spec: StatefulSetSpec,
    pub status: StatefulSetStatus,
}

impl Object for StatefulSet {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    pub replicas: i32,
    pub selector: LabelSelector,
    pub template: Template,
    #[serde(deserialize_with = "null_default")]
    pub volume_claim_templates: Vec<ClaimTemplate>,
    pub service_name: Istr,
    pub pod_management_policy: Istr,
    pub update_strategy: StatefulSetStrategy,
    pub revision_history_limit: Option<i32>,
    pub min_ready_seconds: i32,
    #[serde(rename = "persistentVolumeClaimRetentionPolicy")]
    pub claim_retention: Option<ClaimRetention>,
    pub ordinals: Option<Ordinals>,
}

impl Default for StatefulSetSpec {
    fn default() -> Self {
        Self {
            replicas: 1,
            selector: LabelSelector::default(),
            template: Template::default(),
            volume_claim_templates: Vec::new(),
            service_name: Istr::default(),
            pod_management_policy: Istr::default(),
            update_strategy: StatefulSetStrategy::default(),
            revision_history_limit: None,
            min_ready_seconds: 0,
            claim_retention: None,
            ordinals: None,
        }
    }
}

impl StatefulSetSpec {
    /// The first ordinal, and the one after the last.
    pub fn ordinals(&self) -> std::ops::Range<i64> {
        let start = self
            .ordinals
            .as_ref()
            .map_or(0, |ordinals| i64::from(ordinals.start));
        start..start + i64::from(self.replicas.max(0))
    }

    /// Whether pods come and go all at once.
    pub fn is_parallel(&self) -> bool {
        self.pod_management_policy == "Parallel"
    }

    /// What becomes of the claims.
    pub fn retention(&self) -> ClaimRetention {
        self.claim_retention.clone().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ordinals {
    pub start: i32,
}

/// How the pods of an old template are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum StatefulSetStrategy {
    /// When somebody deletes them.
    OnDelete,
    RollingUpdate {
        #[serde(default)]
        rolling_update: Option<Rolling>,
    },
    /// One that is not enabled (`Recreate`), or not known.
    #[serde(other)]
    Other,
}

impl Default for StatefulSetStrategy {
    fn default() -> Self {
        Self::RollingUpdate { rolling_update: None }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rolling {
    /// Pods below this ordinal stay as they are.
    pub partition: Option<i32>,
    pub max_unavailable: Option<IntOrString>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetention {
    pub when_deleted: Retention,
    pub when_scaled: Retention,
}

/// What becomes of a claim that is not needed any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Retention {
    Delete,
    #[default]
    #[serde(other)]
    Retain,
}

/// What the claims of a pod are made of: JSON of a `PersistentVolumeClaim`, and its name.
#[derive(Clone, Debug)]
pub struct ClaimTemplate {
    pub name: Istr,
    pub raw: Box<RawValue>,
}

impl<'de> Deserialize<'de> for ClaimTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            metadata: Metadata,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            name: Istr,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let named: Named = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self {
            name: named.metadata.name,
            raw,
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub ready_replicas: i32,
    pub current_replicas: i32,
    pub updated_replicas: i32,
    pub available_replicas: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub current_revision: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub update_revision: Istr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
