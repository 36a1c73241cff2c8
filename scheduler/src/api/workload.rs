//! Namespaces, and the objects from which a pod's default spreading is deduced.

use machinery::arith::selector::LabelSelector;
use machinery::meta::{Labels, Object, ObjectMeta};
use serde::Deserialize;

macro_rules! object {
    ($name:ident) => {
        impl Object for $name {
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
        }
    };
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: ObjectMeta,
}
object!(Namespace);

/// A Service or ReplicationController: both select by a plain map.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MapSelected {
    pub metadata: ObjectMeta,
    pub spec: MapSelectedSpec,
}
object!(MapSelected);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MapSelectedSpec {
    pub selector: Option<Labels>,
}

/// A ReplicaSet or StatefulSet: both select by a label selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Selecting {
    pub metadata: ObjectMeta,
    pub spec: SelectingSpec,
}
object!(Selecting);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SelectingSpec {
    pub selector: LabelSelector,
}

/// A PodDisruptionBudget, as preemption reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DisruptionBudget {
    pub metadata: ObjectMeta,
    pub spec: DisruptionBudgetSpec,
    pub status: DisruptionBudgetStatus,
}
object!(DisruptionBudget);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DisruptionBudgetSpec {
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DisruptionBudgetStatus {
    pub disruptions_allowed: i32,
    #[serde(deserialize_with = "machinery::meta::null_default")]
    pub disrupted_pods: std::collections::BTreeMap<Box<str>, serde::de::IgnoredAny>,
}
