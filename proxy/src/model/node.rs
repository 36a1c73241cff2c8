use super::route::Family;
use ipnet::IpNet;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::Deserialize;
use std::net::IpAddr;

/// The fields of this node's own object that matter here.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "null_default")]
    pub spec: NodeSpec,
    #[serde(default, deserialize_with = "null_default")]
    pub status: NodeStatus,
}

impl Object for Node {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(rename = "podCIDRs", deserialize_with = "null_default")]
    pub pod_cidrs: Vec<Istr>,
    #[serde(deserialize_with = "null_default")]
    pub taints: Vec<NodeTaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeTaint {
    pub key: Istr,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "null_default")]
    pub addresses: Vec<NodeAddress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    #[serde(rename = "type")]
    pub kind: Istr,
    pub address: Istr,
}

/// The cluster autoscaler marks a node that it is about to delete with this taint.
const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

impl Node {
    /// The node's addresses, internal ones before external ones, at most one a family.
    pub fn host_ips(&self) -> Vec<IpAddr> {
        let of_kind = |kind: &'static str| {
            self.status
                .addresses
                .iter()
                .filter(move |a| a.kind == kind)
                .filter_map(|a| super::resolve::parse_ip(&a.address))
        };
        let mut ips: Vec<IpAddr> = Vec::with_capacity(2);
        for ip in of_kind("InternalIP").chain(of_kind("ExternalIP")) {
            if !ips.iter().any(|seen| Family::of(*seen) == Family::of(ip)) {
                ips.push(ip);
            }
        }
        ips
    }

    pub fn pod_cidrs(&self) -> Vec<IpNet> {
        self.spec
            .pod_cidrs
            .iter()
            .filter_map(|c| c.parse().ok())
            .collect()
    }

    /// Load balancers may send traffic here: the node is not on its way out.
    pub fn is_eligible(&self) -> bool {
        self.metadata.deletion_timestamp.is_none()
            && !self.spec.taints.iter().any(|t| t.key == TO_BE_DELETED_TAINT)
    }

    pub fn zone(&self) -> Option<Istr> {
        self.metadata
            .labels
            .get(ZONE_LABEL)
            .filter(|z| !z.is_empty())
            .map(Istr::new)
    }
}

/// What the choice of endpoints needs to know about this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub name: Istr,
    pub zone: Option<Istr>,
}
