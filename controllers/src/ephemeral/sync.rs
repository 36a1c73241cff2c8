//! Watches and writes.

use crate::api::{Claim, ClaimSource, Pod};
use crate::caches::BY_CLAIM;
use crate::context::Context;
use crate::pods::reason;
use crate::work::until_stopped;
use machinery::cache::{Cache, Event};
use machinery::meta::resources::{PERSISTENT_VOLUME_CLAIMS, PODS};
use machinery::meta::{ObjectKey, ObjectRef, OwnerRef};
use machinery::queue::{Next, Queue};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const WORKERS: usize = 5;

struct Controller {
    context: Context,
    pods: Cache<Pod>,
    claims: Cache<Claim>,
    queue: Queue<ObjectKey>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        claims: context.caches.claims().clone(),
        queue: Queue::new("ephemeral_volume"),
        context,
    });
    tokio::join!(controller.pods.synced(), controller.claims.synced());
    let this = controller.clone();
    controller.pods.subscribe(move |event| {
        if let Event::Added(pod) = event {
            this.wake(pod);
        }
    });
    let this = controller.clone();
    controller.claims.subscribe(move |event| {
        if let Event::Deleted(claim) = event {
            let users = this.pods.by_index(BY_CLAIM, &claim.metadata.key().to_string());
            users.iter().for_each(|pod| this.wake(pod));
        }
    });
    let this = controller.clone();
    until_stopped(&controller.queue, WORKERS, &controller.context.stop, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    })
    .await;
}

/// The claim of one volume of the pod.
fn body(pod: &Pod, name: &str, template: &RawValue) -> Result<Value, serde_json::Error> {
    let mut template: Map<String, Value> = serde_json::from_str(template.get())?;
    let mut of = |key: &str| template.remove(key).unwrap_or_default();
    let (metadata, spec) = (of("metadata"), of("spec"));
    let owner = OwnerRef::controller(&PODS, &pod.metadata);
    Ok(
        json!({ "metadata": { "name": name, "labels": metadata["labels"], "annotations": metadata["annotations"], "ownerReferences": [owner] }, "spec": spec }),
    )
}

impl Controller {
    fn wake(&self, pod: &Pod) {
        let ephemeral = pod
            .spec
            .claims
            .iter()
            .any(|volume| matches!(volume.source, ClaimSource::Ephemeral(_)));
        if ephemeral && !pod.metadata.is_deleting() {
            self.queue.add(pod.metadata.key());
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(pod) = self.pods.get(key).filter(|pod| !pod.metadata.is_deleting()) else {
            return Ok(Next::Done);
        };
        for (volume, name) in pod.spec.claims.iter().zip(pod.claim_names()) {
            let ClaimSource::Ephemeral(template) = &volume.source else {
                continue;
            };
            if let Err(why) = self.provide(&pod, &name, template).await {
                let message = format!("ephemeral volume {}: {why}", volume.name);
                let about = ObjectRef::new(&PODS, &pod.metadata);
                self.context.events.warning(&about, "FailedBinding", &message);
                anyhow::bail!("pod {key}, {message}");
            }
        }
        Ok(Next::Done)
    }

    async fn provide(&self, pod: &Pod, name: &str, template: &RawValue) -> Result<(), String> {
        let namespace = &pod.metadata.namespace;
        if let Some(claim) = self.claims.get_named(namespace, name) {
            if claim.metadata.is_controlled_by(&pod.metadata.uid) {
                return Ok(());
            }
            let pod = pod.metadata.key();
            return Err(format!(
                "PVC {namespace}/{name} was not created for pod {pod} (pod is not owner)"
            ));
        }
        let body = body(pod, name, template).map_err(|problem| problem.to_string())?;
        self.context
            .client
            .create::<IgnoredAny, _>(&PERSISTENT_VOLUME_CLAIMS, namespace, &body)
            .await
            .map(|_| ())
            .map_err(|error| format!("create PVC {name}: {}", reason(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn the_claim_is_the_pods() {
        let pod = pod("p").build();
        let template = RawValue::from_string(
            r#"{"metadata":{"labels":{"a":"b"}},"spec":{"accessModes":["ReadWriteOnce"]}}"#.to_owned(),
        )
        .unwrap();
        let claim = body(&pod, "p-v", &template).unwrap();
        assert_eq!(claim["metadata"]["labels"], json!({ "a": "b" }));
        assert_eq!(
            claim["metadata"]["ownerReferences"][0],
            json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": true, "blockOwnerDeletion": true })
        );
        assert_eq!(claim["spec"], json!({ "accessModes": ["ReadWriteOnce"] }));
    }
}
