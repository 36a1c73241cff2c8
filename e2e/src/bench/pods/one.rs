//! One pod: made, Ready, deleted, gone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use machinery::client::DeleteOptions;
use machinery::meta::resources::PODS;
use serde::de::IgnoredAny;

use super::objects::{Pod, pod};
use super::{Bench, NAMESPACE, PATIENCE};
use crate::bench::watch::{Kind, Watch};

/// A pod that is Ready is left alone this long before it is deleted, and a node that it left before the next.
const BREATH: Duration = Duration::from_millis(400);

impl Bench<'_> {
    /// Seconds from its creation to Ready, and from its deletion to its end.
    pub(super) async fn one_pod(&self, watch: &mut Watch<Pod>, name: &str) -> Result<(f64, f64)> {
        let client = self.bed.load.one();
        let since = Instant::now();
        client
            .create::<IgnoredAny, _>(&PODS, NAMESPACE, &pod(name))
            .await?;
        let ready = watch
            .until(
                PATIENCE,
                |event| event.object.metadata.name == name && event.object.is_ready(),
                || format!("pod {name} is not Ready"),
            )
            .await?;
        let made = ready.saturating_duration_since(since).as_secs_f64();
        tokio::time::sleep(BREATH).await;
        let since = Instant::now();
        client
            .delete(&PODS, NAMESPACE, name, &DeleteOptions::default())
            .await
            .context("deleting a pod")?;
        let gone = watch
            .until(
                PATIENCE,
                |event| event.object.metadata.name == name && event.kind == Kind::Deleted,
                || format!("pod {name} is not gone"),
            )
            .await?;
        tokio::time::sleep(BREATH).await;
        Ok((made, gone.saturating_duration_since(since).as_secs_f64()))
    }
}
