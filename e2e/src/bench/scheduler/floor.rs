//! What the API server itself can do: create a pod, bind it, with no scheduler in between.

use std::time::Instant;

use anyhow::Result;
use machinery::meta::resources::PODS;
use serde::Deserialize;

use super::{Constraint, Field, NAMESPACE, Plan, cases};
use crate::bench::scaled;

#[derive(Deserialize)]
struct Created {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    uid: String,
}

/// Pods a second, after a few to warm up.
pub async fn rate(field: &Field, plan: Plan) -> Result<f64> {
    bind(field, plan, scaled(300, plan.scale)).await?;
    bind(field, plan, scaled(1500, plan.scale)).await
}

async fn bind(field: &Field, plan: Plan, count: usize) -> Result<f64> {
    let since = Instant::now();
    field
        .plane
        .load
        .each(0..count, |client, number| async move {
            let body = cases::pod(number, Constraint::None);
            let pod: Created = client.create(&PODS, NAMESPACE, &body).await?;
            let node = format!("node-{}", number % plan.nodes);
            client
                .bind(NAMESPACE, &pod.metadata.name, &pod.metadata.uid, &node)
                .await
        })
        .await?;
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / since.elapsed().as_secs_f64();
    field.plane.load.clear(&PODS, NAMESPACE).await?;
    Ok(rate)
}
