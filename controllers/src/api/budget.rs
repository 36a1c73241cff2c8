//! PodDisruptionBudgets.

use super::ConditionStatus;
use machinery::arith::{IntOrString, LabelSelector};
use machinery::meta::{Istr, Object, ObjectMeta, Time, null_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A policy/v1 `PodDisruptionBudget`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    pub metadata: ObjectMeta,
    pub spec: BudgetSpec,
    pub status: BudgetStatus,
}

impl Object for Budget {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetSpec {
    pub min_available: Option<IntOrString>,
    pub max_unavailable: Option<IntOrString>,
    /// None selects nothing, an empty one everything.
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    pub observed_generation: i64,
    /// Pods whose eviction was allowed, and when.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub disrupted_pods: BTreeMap<Istr, Time>,
    pub disruptions_allowed: i32,
    pub current_healthy: i32,
    pub desired_healthy: i32,
    pub expected_pods: i32,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<MetaCondition>,
}

/// A `metav1.Condition`, as newer kinds have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetaCondition {
    #[serde(rename = "type")]
    pub kind: Istr,
    #[serde(default)]
    pub status: ConditionStatus,
    #[serde(default)]
    pub observed_generation: i64,
    pub last_transition_time: Option<Time>,
    #[serde(default)]
    pub reason: Istr,
    #[serde(default)]
    pub message: Box<str>,
}

impl MetaCondition {
    /// Puts a condition among others; the time of the last transition stays while the status does.
    pub fn set(conditions: &mut Vec<Self>, mut condition: Self) {
        match conditions.iter_mut().find(|held| held.kind == condition.kind) {
            Some(held) => {
                if held.status == condition.status {
                    condition.last_transition_time = held.last_transition_time;
                }
                *held = condition;
            }
            None => conditions.push(condition),
        }
    }
}
