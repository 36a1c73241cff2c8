//! The pods, as they are sent and as they are seen.

use std::time::Duration;

use anyhow::{Result, bail};
use machinery::meta::resources::SERVICE_ACCOUNTS;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{NAMESPACE, NODE};
use crate::assets::Image;
use crate::bench::load::Load;

/// A pod that the kubelet of [`NODE`] runs.
pub fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": "bench" } },
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": Image::Pause.reference() }],
        },
    })
}

/// What a watch of pods needs to know.
#[derive(Debug, Deserialize)]
pub struct Pod {
    pub metadata: Metadata,
    #[serde(default)]
    pub status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    #[serde(default)]
    pub last_heartbeat_time: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    #[serde(rename = "containerID")]
    pub id: String,
    pub restart_count: u32,
}

impl Pod {
    pub fn is_ready(&self) -> bool {
        is_true(&self.status.conditions)
    }
}

/// Whether the Ready condition is true.
pub fn is_true(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.kind == "Ready" && condition.status == "True")
}

/// Waits for the service account that pods of the namespace run as.
pub async fn account(load: &Load) -> Result<()> {
    for _ in 0..600 {
        let got = load
            .one()
            .get::<IgnoredAny>(&SERVICE_ACCOUNTS, NAMESPACE, "default")
            .await;
        match got {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error.into()),
        }
    }
    bail!("namespace {NAMESPACE} has no service account after 30 s: do the controllers run?")
}
