//! Writes events to the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::{correlate, series};
use crate::client::{ApiError, Client, PatchKind};
use crate::meta::resources::{CORE_EVENTS, EVENTS};
use crate::meta::{MicroTime, ObjectRef, Resource, Time};

/// Upstream's patience with an API server that does not answer.
const TRIES: u32 = 12;
const BETWEEN_TRIES: Duration = Duration::from_secs(10);

/// Who tells.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub component: String,
    pub host: String,
}

/// One write to the API: the patch first, where there is one; the create if there is none or nothing to patch.
pub(super) struct Job {
    resource: Resource,
    namespace: String,
    name: String,
    patch: Option<Value>,
    create: Value,
}

impl Job {
    pub(super) fn core(write: &correlate::Write, source: &Source) -> Self {
        let draft = &write.draft;
        let namespace = draft.namespace().to_string();
        let (first, last) = (Time(write.first), Time(write.last));
        let mut create = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": write.name, "namespace": namespace },
            "involvedObject": draft.regarding,
            "reason": draft.reason, "message": draft.message, "type": draft.kind.as_str(),
            "source": { "component": source.component, "host": source.host },
            "firstTimestamp": first, "lastTimestamp": last, "count": write.count,
            "eventTime": null,
            "reportingComponent": source.component, "reportingInstance": source.host,
        });
        if !draft.annotations.is_empty() {
            create["metadata"]["annotations"] = json!(draft.annotations);
        }
        let patch = (write.count > 1)
            .then(|| json!({ "count": write.count, "lastTimestamp": last, "message": draft.message }));
        Job {
            resource: CORE_EVENTS,
            namespace,
            name: write.name.to_string(),
            patch,
            create,
        }
    }

    pub(super) fn series(write: &series::Write, source: &Source) -> Self {
        let draft = &write.draft;
        let namespace = draft.namespace().to_string();
        let mut create = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": write.name, "namespace": namespace },
            "eventTime": MicroTime(write.time),
            "reportingController": source.component,
            "reportingInstance": format!("{}-{}", source.component, source.host),
            "action": draft.action, "reason": draft.reason, "type": draft.kind.as_str(),
            "regarding": draft.regarding, "note": draft.message,
        });
        if let Some(related) = &draft.related {
            create["related"] = json!(related);
        }
        if !draft.annotations.is_empty() {
            create["metadata"]["annotations"] = json!(draft.annotations);
        }
        let series = write
            .series
            .map(|(count, last)| json!({ "count": count, "lastObservedTime": MicroTime(last) }));
        if let Some(series) = &series {
            create["series"] = series.clone();
        }
        let patch = series.map(|series| json!({ "series": series }));
        Job {
            resource: EVENTS,
            namespace,
            name: write.name.to_string(),
            patch,
            create,
        }
    }

    /// Writes, and tries again while the API server cannot be reached.
    pub(super) async fn run(&self, client: &Client) {
        for tried in 0..TRIES {
            let error = match self.attempt(client).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if error.status().is_some() && !error.is_too_many_requests() {
                let quiet = error.is_already_exists() || error.is_namespace_terminating();
                if quiet {
                    tracing::debug!("the API server refused an event: {error}");
                } else {
                    tracing::warn!("the API server refused an event: {error}");
                }
                return;
            }
            let wait = if tried == 0 {
                BETWEEN_TRIES.mul_f64(rand::random())
            } else {
                BETWEEN_TRIES
            };
            tokio::time::sleep(wait).await;
        }
        tracing::warn!(
            event = self.name,
            "gave up on an event: the API server could not be reached"
        );
    }

    async fn attempt(&self, client: &Client) -> Result<(), ApiError> {
        use serde::de::IgnoredAny;
        if let Some(patch) = &self.patch {
            let patched: Result<IgnoredAny, _> = client
                .patch(
                    &self.resource,
                    &self.namespace,
                    &self.name,
                    PatchKind::Strategic,
                    patch,
                )
                .await;
            match patched {
                // It has expired since, or was deleted: tell it anew.
                Err(error) if error.is_not_found() => {}
                other => return other.map(|_| ()),
            }
        }
        client
            .create::<IgnoredAny, _>(&self.resource, &self.namespace, &self.create)
            .await
            .map(|_| ())
    }
}

/// What an event says, for the log and for tests.
pub(super) fn about(object: &ObjectRef) -> String {
    if object.namespace.is_empty() {
        format!("{}/{}", object.kind, object.name)
    } else {
        format!("{}/{}/{}", object.kind, object.namespace, object.name)
    }
}
