//! Watches and writes.

use super::plan::{Findings, Verdict, targets};
use super::{conditions, content};
use crate::api::{Namespace, NamespacePhase, NamespaceSpec, NamespaceStatus, Object, Pod, status_update};
use crate::caches::BY_NAMESPACE;
use crate::context::Context;
use crate::pods::reason;
use crate::work::until_stopped;
use futures::StreamExt;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::ApiError;
use machinery::meta::resources::NAMESPACES;
use machinery::meta::{Istr, ObjectKey, Time};
use machinery::queue::{Next, Queue};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Lets all API servers see that the namespace is being deleted, so that none lets anything new into it.
const DELAY: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// The failures after which back-off (from 5 ms) would be longer than that.
const MANY_FAILURES: u32 = 13;
/// The finalizer that we take off, in the namespace's spec.
const FINALIZER: &str = "kubernetes";
/// Kinds at a time.
const WINDOW: usize = 8;

struct Controller {
    context: Context,
    namespaces: Cache<Namespace>,
    pods: Cache<Pod>,
    queue: Queue<ObjectKey>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        namespaces: context.caches.namespaces().clone(),
        pods: context.caches.pods().clone(),
        queue: Queue::new("namespace"),
        context,
    });
    tokio::join!(controller.namespaces.synced(), controller.pods.synced());
    controller.subscribe();
    let workers = controller.context.config.concurrent_namespace_syncs;
    let (stop, queue) = (controller.context.stop.clone(), controller.queue.clone());
    until_stopped(&queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.namespaces.subscribe(move |event| match event {
            Event::Added(namespace) | Event::Updated { new: namespace, .. }
                if namespace.metadata.is_deleting() =>
            {
                this.queue.add_after(namespace.metadata.key(), DELAY);
            }
            _ => {}
        });
        // The rest waits for the pods: go on as soon as the last one is gone.
        let this = self.clone();
        self.pods.subscribe(move |event| {
            let Event::Deleted(pod) = event else { return };
            let namespace = &pod.metadata.namespace;
            let deleting = this.namespaces.get_named("", namespace).is_some_and(|namespace| {
                let since = namespace.metadata.deletion_timestamp;
                since.is_some_and(|since| age(since) >= DELAY)
            });
            if deleting && this.pods.by_index(BY_NAMESPACE, namespace).is_empty() {
                this.queue.add(ObjectKey::cluster(namespace));
            }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        match self.delete(&key.name).await {
            Ok(Verdict::Empty) => Ok(Next::Done),
            Ok(Verdict::Wait(delay)) => Ok(Next::After(delay)),
            Ok(Verdict::Failed(why)) => {
                Err(self.again(key, anyhow::anyhow!("deleting what is in namespace {key}: {why}")))
            }
            Err(gone) if gone.is_not_found() => Ok(Next::Done),
            Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
            Err(error) => Err(self.again(
                key,
                anyhow::Error::new(error).context(format!("deleting namespace {key}")),
            )),
        }
    }

    fn again(&self, key: &ObjectKey, error: anyhow::Error) -> anyhow::Error {
        if self.queue.num_requeues(key) >= MANY_FAILURES {
            self.queue.add_after(key.clone(), LONGEST_BACK_OFF);
        }
        error
    }

    /// One round: from the newest state of the namespace, since several may be busy with it.
    async fn delete(&self, name: &str) -> Result<Verdict, ApiError> {
        let client = &self.context.client;
        let mut namespace: Namespace = client.get(&NAMESPACES, "", name).await?;
        let Some(since) = namespace.metadata.deletion_timestamp else {
            return Ok(Verdict::Empty);
        };
        if namespace.status.phase != NamespacePhase::Terminating {
            let status = NamespaceStatus {
                phase: NamespacePhase::Terminating,
                ..namespace.status
            };
            namespace = self.write_status(&namespace.metadata, &status).await?;
        }
        if namespace.spec.finalizers.is_empty() {
            return Ok(Verdict::Empty);
        }
        let findings = self.clear(name, age(since)).await;
        if let Some(conditions) = conditions::updated(&namespace.status.conditions, &findings, Time::now()) {
            let status = NamespaceStatus {
                conditions,
                ..namespace.status.clone()
            };
            match self.write_status(&namespace.metadata, &status).await {
                Ok(written) => namespace = written,
                Err(error) => tracing::warn!(
                    namespace = name,
                    "could not say in its status how the deletion goes: {error}"
                ),
            }
        }
        let verdict = findings.verdict();
        if verdict == Verdict::Empty {
            self.finalize(&namespace).await?;
        }
        Ok(verdict)
    }

    async fn clear(&self, namespace: &str, age: Duration) -> Findings {
        let client = &self.context.client;
        let mut findings = Findings::default();
        let discovery = match client.discover().await {
            Ok(discovery) => discovery,
            Err(error) => {
                findings.discovery = Some(reason(&error));
                return findings;
            }
        };
        if !discovery.stale.is_empty() {
            let (count, versions) = (discovery.stale.len(), discovery.stale.join(", "));
            findings.discovery = Some(format!(
                "Discovery failed for some groups, {count} failing: stale GroupVersion discovery: {versions}"
            ));
        }
        let targets = targets(&discovery);
        if let Some(pods) = &targets.pods {
            findings.add(content::clear(client, pods, namespace, age).await);
            if !findings.remains.is_empty() {
                return findings;
            }
        }
        let mut cleared = futures::stream::iter(targets.others)
            .map(|target| async move { content::clear(client, &target, namespace, age).await })
            .buffer_unordered(WINDOW);
        while let Some(found) = cleared.next().await {
            findings.add(found);
        }
        findings
    }

    async fn write_status(
        &self,
        metadata: &machinery::meta::ObjectMeta,
        status: &NamespaceStatus,
    ) -> Result<Namespace, ApiError> {
        self.context
            .client
            .update_status(
                &NAMESPACES,
                "",
                &metadata.name,
                &status_update(&NAMESPACES, metadata, status),
            )
            .await
    }

    /// Takes our finalizer off; other controllers may hold theirs for longer.
    async fn finalize(&self, namespace: &Namespace) -> Result<(), ApiError> {
        #[derive(Serialize)]
        struct Spec {
            spec: NamespaceSpec,
        }
        let metadata = &namespace.metadata;
        let mut finalizers: Vec<Istr> = namespace
            .spec
            .finalizers
            .iter()
            .filter(|held| **held != FINALIZER)
            .cloned()
            .collect();
        finalizers.sort();
        finalizers.dedup();
        let body = Object::new(
            &NAMESPACES,
            metadata,
            Spec {
                spec: NamespaceSpec { finalizers },
            },
        );
        self.context
            .client
            .update_sub::<serde::de::IgnoredAny, _>(&NAMESPACES, "", &metadata.name, "finalize", &body)
            .await
            .map(|_| ())
    }
}

/// How long ago that was by our clock; nothing if it says that it is still to come.
fn age(since: Time) -> Duration {
    Timestamp::now()
        .duration_since(since.0)
        .try_into()
        .unwrap_or_default()
}
