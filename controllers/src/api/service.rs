//! Services.

use machinery::arith::IntOrString;
use machinery::meta::{Istr, Labels, Object, ObjectMeta, null_default};
use serde::Deserialize;

/// A core/v1 `Service`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: ObjectMeta,
    pub spec: ServiceSpec,
}

impl Object for Service {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: Istr,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Istr,
    /// `None` where the Service has no selector at all: its endpoints are somebody else's.
    pub selector: Option<Labels>,
    #[serde(deserialize_with = "null_default")]
    pub ports: Vec<ServicePort>,
    #[serde(deserialize_with = "null_default")]
    pub ip_families: Vec<Istr>,
    pub publish_not_ready_addresses: bool,
    pub traffic_distribution: Option<Istr>,
    pub allocate_load_balancer_node_ports: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub name: Istr,
    pub protocol: Istr,
    pub port: i32,
    pub target_port: Option<IntOrString>,
    pub app_protocol: Option<Istr>,
    pub node_port: i32,
}

impl Service {
    /// Whether clients find the endpoints by DNS alone.
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }
}

impl Service {
    /// Whether the Service's selector takes in a pod with these labels. An empty selector takes in every pod, a missing one none.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.spec
            .selector
            .as_ref()
            .is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    }
}
