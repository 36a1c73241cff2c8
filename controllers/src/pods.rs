//! Making pods of a template, and many requests at once.

use crate::api::{Object, Template};
use futures::stream::{FuturesUnordered, StreamExt};
use machinery::arith::names::is_dns_subdomain;
use machinery::client::{ApiError, Bytes};
use machinery::meta::{Annotations, Istr, Labels, ObjectMeta, OwnerRef, Resource, resources::PODS};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::future::Future;

/// The most requests of one sync that are in flight; the client's pacing usually allows fewer.
const WINDOW: usize = 128;

/// The metadata of a pod that is to be created.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Where the API server does not make one up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Istr>,
    pub generate_name: Istr,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<Istr>,
    owner_references: [OwnerRef; 1],
}

#[derive(Serialize)]
pub struct Spec<S> {
    pub spec: S,
}

/// A pod that is to be created.
pub type NewPod<S> = Object<Metadata, Spec<S>>;

/// A pod of a workload's template before it is written down.
pub struct Draft<'a> {
    pub metadata: Metadata,
    pub spec: Option<&'a RawValue>,
    owner: String,
}

impl Draft<'_> {
    /// What went wrong with reading or writing it.
    pub fn failed(&self, cause: serde_json::Error) -> ApiError {
        unreadable(&self.owner, cause)
    }

    /// The body that creates the pod.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn encode(&self) -> Result<Bytes, ApiError> {
        self.encode_with(self.metadata.clone(), self.spec)
    }

    /// The same with other metadata and another spec.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn encode_with(&self, metadata: Metadata, spec: impl Serialize) -> Result<Bytes, ApiError> {
        let pod: NewPod<_> = Object::new(&PODS, metadata, Spec { spec });
        serde_json::to_vec(&pod)
            .map(Bytes::from)
            .map_err(|cause| self.failed(cause))
    }

    /// The template's spec, to be changed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_spec(&self) -> Result<Map<String, Value>, ApiError> {
        let Some(raw) = self.spec else {
            return Ok(Map::new());
        };
        serde_json::from_str(raw.get()).map_err(|cause| self.failed(cause))
    }

    /// The pod, with another spec.
    pub fn with_spec<S>(self, spec: S) -> NewPod<S> {
        Object::new(&PODS, self.metadata, Spec { spec })
    }
}

fn unreadable(owner: &str, cause: serde_json::Error) -> ApiError {
    ApiError::Encode {
        verb: "create",
        path: format!("pod of {owner}"),
        cause,
    }
}

/// The body that creates a pod of a workload's template: the same for each, since the API server makes up the names.
///
/// # Errors
/// When the template cannot be read.
pub fn from_template(
    resource: &Resource,
    owner: &ObjectMeta,
    template: &Template,
) -> Result<Bytes, ApiError> {
    draft(resource, owner, template)?.encode()
}

/// What [`from_template`] writes down.
///
/// # Errors
/// When the template cannot be read.
pub fn draft<'a>(
    resource: &Resource,
    owner: &ObjectMeta,
    template: &'a Template,
) -> Result<Draft<'a>, ApiError> {
    let name = format!("{} {}", resource.kind, owner.key());
    let parts = template.pod_parts().map_err(|cause| unreadable(&name, cause))?;
    let prefix = format!("{}-", owner.name);
    let metadata = Metadata {
        name: None,
        // A long name leaves no room for the dash.
        generate_name: if is_dns_subdomain(&format!("{prefix}a")) {
            prefix.into()
        } else {
            owner.name.clone()
        },
        labels: parts.labels,
        annotations: parts.annotations,
        finalizers: parts.finalizers,
        owner_references: [OwnerRef::controller(resource, owner)],
    };
    Ok(Draft {
        metadata,
        spec: parts.spec,
        owner: name,
    })
}

/// What the API server said, in its words; for events.
pub fn reason(error: &ApiError) -> String {
    error
        .status()
        .map_or_else(|| error.to_string(), |status| status.message.clone())
}

/// Requests of one kind, several at a time.
pub struct Fan {
    count: usize,
    window: usize,
    grows: bool,
}

/// How a fan of requests ended.
pub struct Outcome {
    /// The first failure, after which no further request was sent where starting slowly.
    pub error: Option<ApiError>,
    /// Requests that were not sent.
    pub skipped: usize,
}

impl Fan {
    /// Starts with one request and sends two more for each that succeeds; the first failure ends it. So what is bound to
    /// fail (a quota) fails once and not a thousand times, and what succeeds is soon at full speed.
    pub fn slow_start(count: usize) -> Self {
        Self {
            count,
            window: 1,
            grows: true,
        }
    }

    /// Sends every request whatever becomes of the others.
    pub fn all(count: usize) -> Self {
        Self {
            count,
            window: WINDOW,
            grows: false,
        }
    }

    /// Runs `request` for each index.
    pub async fn run<F: Future<Output = Result<(), ApiError>>>(
        self,
        request: impl Fn(usize) -> F,
    ) -> Outcome {
        let (mut window, mut sent, mut error) = (self.window, 0, None);
        let mut flying = FuturesUnordered::new();
        loop {
            while flying.len() < window && sent < self.count && (error.is_none() || !self.grows) {
                flying.push(request(sent));
                sent += 1;
            }
            match flying.next().await {
                None => {
                    return Outcome {
                        error,
                        skipped: self.count - sent,
                    };
                }
                Some(Ok(())) if self.grows => window = (window + 1).min(WINDOW),
                Some(Ok(())) => {}
                Some(Err(failure)) => error = error.or(Some(failure)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::replica_set;
    use machinery::meta::resources::REPLICA_SETS;
    use std::cell::Cell;
    use std::time::Duration;

    #[test]
    fn a_pod_takes_everything_from_its_template() {
        let mut set = replica_set("rs", 1);
        let raw = r#"{"metadata":{"labels":{"app":"web"},"annotations":{"a":"b"},"finalizers":["x/y"]},"spec":{"containers":[],"aFieldOfTheFuture":{"z":1,"a":2}}}"#;
        set.spec.template = serde_json::from_str(raw).unwrap();
        let body = from_template(&REPLICA_SETS, &set.metadata, &set.spec.template).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "rs-", "labels": { "app": "web" }, "annotations": { "a": "b" }, "finalizers": ["x/y"],
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "uid-rs", "controller": true, "blockOwnerDeletion": true }] },
                "spec": { "containers": [], "aFieldOfTheFuture": { "z": 1, "a": 2 } } })
        );
    }

    fn failure() -> ApiError {
        ApiError::TimedOut {
            verb: "POST",
            path: "/x".into(),
            after: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn requests_start_slowly_and_end_with_the_first_failure() {
        let (flying, most, sent) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let request = |fails_at: usize| {
            let (flying, most, sent) = (&flying, &most, &sent);
            move |index: usize| async move {
                sent.set(sent.get() + 1);
                flying.set(flying.get() + 1);
                most.set(most.get().max(flying.get()));
                tokio::task::yield_now().await;
                flying.set(flying.get() - 1);
                if index == fails_at { Err(failure()) } else { Ok(()) }
            }
        };
        let outcome = Fan::slow_start(1000).run(request(usize::MAX)).await;
        assert!(outcome.error.is_none() && outcome.skipped == 0 && sent.get() == 1000);
        assert!(most.get() > 50 && most.get() <= WINDOW);
        sent.set(0);
        let outcome = Fan::slow_start(1000).run(request(0)).await;
        assert!(outcome.error.is_some() && sent.get() == 1 && outcome.skipped == 999);
        sent.set(0);
        let outcome = Fan::all(300).run(request(5)).await;
        assert!(outcome.error.is_some() && sent.get() == 300 && outcome.skipped == 0);
    }
}
