//! ResourceQuotas.

use machinery::arith::Quantity;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Amounts by resource name.
pub type Amounts = BTreeMap<Istr, Quantity>;

/// A core/v1 `ResourceQuota`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceQuota {
    pub metadata: ObjectMeta,
    pub spec: ResourceQuotaSpec,
    pub status: ResourceQuotaStatus,
}

impl Object for ResourceQuota {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceQuotaSpec {
    #[serde(deserialize_with = "null_default")]
    pub hard: Amounts,
    #[serde(deserialize_with = "null_default")]
    pub scopes: Vec<Istr>,
    pub scope_selector: Option<ScopeSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeSelector {
    #[serde(deserialize_with = "null_default")]
    pub match_expressions: Vec<ScopeExpression>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeExpression {
    pub scope_name: Istr,
    pub operator: Istr,
    #[serde(deserialize_with = "null_default")]
    pub values: Vec<Istr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceQuotaStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<Amounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Amounts>,
}
