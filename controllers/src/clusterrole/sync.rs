//! Watches and writes.

use super::plan::{ClusterRole, plan};
use crate::context::Context;
use crate::work::until_stopped;
use anyhow::Context as _;
use machinery::cache::Cache;
use machinery::meta::ObjectKey;
use machinery::meta::resources::CLUSTER_ROLES;
use machinery::queue::{Next, Queue};
use serde::de::IgnoredAny;
use serde_json::json;

const WORKERS: usize = 5;
const MANAGER: &str = "clusterrole-aggregation-controller";

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let roles: Cache<ClusterRole> =
        Cache::builder(context.caches.client(), &CLUSTER_ROLES).start(&context.stop);
    let queue: Queue<ObjectKey> = Queue::new("ClusterRoleAggregator");
    roles.synced().await;
    // Any role may be part of any other.
    let (all, adding) = (roles.clone(), queue.clone());
    roles.subscribe(move |_| {
        for role in all.list() {
            if role.aggregation_rule.is_some() {
                adding.add(role.metadata.key());
            }
        }
    });
    let client = context.client.clone();
    until_stopped(&queue, WORKERS, &context.stop, move |key: ObjectKey| {
        let (roles, client) = (roles.clone(), client.clone());
        async move {
            let Some(rules) = roles.get(&key).and_then(|role| plan(&role, &roles.list())) else {
                return anyhow::Ok(Next::Done);
            };
            let body = json!({ "apiVersion": CLUSTER_ROLES.api_version(), "kind": CLUSTER_ROLES.kind,
                "metadata": { "name": key.name }, "rules": rules });
            client
                .apply::<IgnoredAny, _>(&CLUSTER_ROLES, "", &key.name, MANAGER, true, &body)
                .await
                .with_context(|| format!("aggregating ClusterRole {key}"))?;
            Ok(Next::Done)
        }
    })
    .await;
}
