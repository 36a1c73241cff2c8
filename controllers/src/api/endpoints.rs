//! Endpoints.

use super::EndpointPort;
use machinery::meta::{Istr, Object, ObjectMeta, ObjectRef, null_default};
use serde::{Deserialize, Serialize};

/// A core/v1 `Endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub subsets: Vec<EndpointSubset>,
}

impl Object for Endpoints {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Addresses that have the same ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSubset {
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<EndpointPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointAddress {
    pub ip: Istr,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hostname: Istr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Istr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<ObjectRef>,
}
