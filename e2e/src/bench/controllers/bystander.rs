//! Somebody else on the same API server: how long their reads take, and how many requests it turns away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use machinery::client::Client;
use machinery::meta::Resource;
use machinery::meta::resources::{CLUSTER_ROLES, CONFIG_MAPS};
use machinery::testing::User;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::NAMESPACE;
use crate::bench::load::Load;
use crate::bench::plane::Plane;

const PAUSE: Duration = Duration::from_millis(20);
const NAME: &str = "bystander";
const GROUP: &str = "rbac.authorization.k8s.io";

/// A user without special rights, who waits in the API server's queues like everybody.
pub struct Bystander {
    client: Client,
    load: Load,
}

/// Reads that go on until they are finished.
pub struct Reads {
    end: oneshot::Sender<()>,
    task: JoinHandle<Result<Vec<f64>>>,
}

impl Bystander {
    pub async fn new(plane: &Plane) -> Result<Self> {
        // A role of its own: upstream's `view` is put together by a controller, after a while.
        let role = json!({
            "metadata": { "name": NAME },
            "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] }],
        });
        let binding = json!({
            "metadata": { "name": NAME },
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": NAME },
            "subjects": [{ "apiGroup": GROUP, "kind": "User", "name": "nobody" }],
        });
        let one = plane.load.one();
        let bindings = Resource::cluster(GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding");
        one.create::<IgnoredAny, _>(&CLUSTER_ROLES, "", &role).await?;
        one.create::<IgnoredAny, _>(&bindings, "", &binding).await?;
        let object = json!({ "metadata": { "name": NAME }, "data": { "key": "value" } });
        one.create::<IgnoredAny, _>(&CONFIG_MAPS, NAMESPACE, &object)
            .await?;
        Ok(Self {
            client: Client::new(plane.server().config(User::Nobody))?.unpaced(),
            load: plane.load.clone(),
        })
    }

    /// Starts to read.
    pub fn start(&self) -> Reads {
        let client = self.client.clone();
        let (end, mut ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut millis = Vec::new();
            while ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                let since = Instant::now();
                client
                    .get::<IgnoredAny>(&CONFIG_MAPS, NAMESPACE, NAME)
                    .await
                    .context("reading as somebody without special rights")?;
                millis.push(1000.0 * since.elapsed().as_secs_f64());
                tokio::time::sleep(PAUSE).await;
            }
            Ok(millis)
        });
        Reads { end, task }
    }

    /// Requests that the API server has turned away since it started.
    pub async fn refused(&self) -> Result<f64> {
        let text = self
            .load
            .one()
            .raw_get("/metrics")
            .await
            .context("reading the API server's metrics")?;
        Ok(refused(&String::from_utf8_lossy(&text)))
    }
}

impl Reads {
    /// The 99th percentile, in milliseconds.
    ///
    /// # Errors
    /// If a read failed.
    pub async fn finish(self) -> Result<f64> {
        let _ = self.end.send(());
        Ok(percentile(self.task.await??, 0.99))
    }
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let index = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(index).copied().unwrap_or_default()
}

fn refused(metrics: &str) -> f64 {
    metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{") && line.contains("code=\"429\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_the_least_that_enough_are_below() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(values, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!((percentile(vec![7.0], 0.99) - 7.0).abs() < f64::EPSILON);
        assert!(percentile(Vec::new(), 0.99).abs() < f64::EPSILON);
    }

    #[test]
    fn refusals_are_added_up_over_all_kinds_of_requests() {
        let text = "# HELP x\napiserver_request_total{code=\"201\",verb=\"POST\"} 9\n\
                    apiserver_request_total{code=\"429\",verb=\"POST\"} 3\n\
                    apiserver_request_total{code=\"429\",verb=\"GET\"} 4\n";
        assert!((refused(text) - 7.0).abs() < f64::EPSILON);
    }
}
