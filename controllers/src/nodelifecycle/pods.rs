//! The pods of a node that is not ready are not ready either: nobody is there to say so but us.

use crate::api::{ConditionStatus, Pod};
use crate::context::Context;
use crate::pods::Fan;
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::PODS;
use machinery::meta::{ObjectRef, Time};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::sync::Arc;

/// The patch of the pod's status, if it says that the pod is ready.
fn not_ready(pod: &Pod, now: Time) -> Option<Value> {
    let ready = pod
        .condition("Ready")
        .filter(|ready| ready.status != ConditionStatus::False)?;
    let condition = json!({ "type": ready.kind, "status": "False", "lastTransitionTime": now });
    Some(json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } }))
}

async fn mark(context: &Context, pod: &Pod, patch: &Value) -> Result<(), ApiError> {
    let meta = &pod.metadata;
    let client = &context.client;
    match client
        .patch_status::<IgnoredAny, _>(&PODS, &meta.namespace, &meta.name, PatchKind::Strategic, patch)
        .await
    {
        Ok(_) => {
            context
                .events
                .warning(&ObjectRef::new(&PODS, meta), "NodeNotReady", "Node is not ready");
            Ok(())
        }
        // Gone, or another pod of that name by now.
        Err(gone) if gone.is_not_found() || gone.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Says in the status of each of these pods that it is not ready.
///
/// # Errors
/// The first failure, after all were tried.
pub async fn mark_not_ready(context: &Context, pods: &[Arc<Pod>]) -> Result<(), ApiError> {
    let now = Time::now();
    let patches: Vec<_> = pods
        .iter()
        .filter_map(|pod| Some((pod, not_ready(pod, now)?)))
        .collect();
    let outcome = Fan::all(patches.len()).run(|index| {
        let patch = patches.get(index);
        async move {
            match patch {
                Some((pod, patch)) => mark(context, pod, patch).await,
                None => Ok(()),
            }
        }
    });
    outcome.await.error.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn only_ready_pods_are_marked() {
        let now: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let patch = not_ready(&pod("p").ready_at(5).build(), now).unwrap();
        let condition =
            json!({ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        assert_eq!(
            patch,
            json!({ "metadata": { "uid": "uid-p" }, "status": { "conditions": [condition] } })
        );
        assert!(not_ready(&pod("p").build(), now).is_none());
        assert!(
            not_ready(
                &pod("p")
                    .with(
                        "/status/conditions",
                        json!([{ "type": "Ready", "status": "False" }])
                    )
                    .build(),
                now
            )
            .is_none()
        );
    }
}
