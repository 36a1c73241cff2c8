//! The workers of a controller, and what becomes of an object after they were at work on it.

use machinery::client::ApiError;
use machinery::meta::{ObjectKey, Resource};
use machinery::queue::{Next, Queue, run_workers};
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use tokio_util::sync::CancellationToken;

/// Works on a queue of objects of one kind until `stop`.
pub async fn work<F, W>(
    resource: Resource,
    queue: &Queue<ObjectKey>,
    workers: usize,
    stop: &CancellationToken,
    sync: W,
) where
    F: Future<Output = anyhow::Result<Next>> + Send,
    W: Fn(ObjectKey) -> F + Clone + Send + Sync + 'static,
{
    let judged = move |key: ObjectKey| {
        let (resource, ended) = (resource.clone(), sync(key.clone()));
        async move { judge(&resource, &key, ended.await) }
    };
    until_stopped(queue, workers, stop, judged).await;
}

/// Works on a queue of anything until `stop`; every error is one.
pub async fn until_stopped<T, F, E, W>(queue: &Queue<T>, workers: usize, stop: &CancellationToken, sync: W)
where
    T: Eq + Hash + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Next, E>> + Send,
    E: Display,
    W: Fn(T) -> F + Clone + Send + Sync + 'static,
{
    tokio::join!(run_workers(queue, workers, sync), async {
        stop.cancelled().await;
        queue.shutdown();
    });
}

/// What others did to an object meanwhile is no error: its event is on its way.
fn judge(resource: &Resource, key: &ObjectKey, ended: anyhow::Result<Next>) -> anyhow::Result<Next> {
    let error = match ended {
        Ok(next) => return Ok(next),
        Err(error) => error,
    };
    match error.downcast_ref::<ApiError>() {
        Some(gone) if gone.is_not_found() && is_about(gone, resource, key) => Ok(Next::Done),
        // Nothing can be created there any more.
        Some(ending) if ending.is_namespace_terminating() => Ok(Next::Done),
        // Somebody else wrote the object, or one of those that it owns, at the same time.
        Some(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
        _ => Err(error),
    }
}

/// Whether the server's answer is about the object itself, and not one that it owns or needs.
fn is_about(error: &ApiError, resource: &Resource, key: &ObjectKey) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    details.is_some_and(|details| *details.kind == *resource.plural && *details.name == *key.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use machinery::meta::resources::DEPLOYMENTS;
    use serde_json::{Value, json};

    fn refused(code: u16, reason: &str, details: &Value) -> anyhow::Result<Next> {
        let status = json!({ "code": code, "reason": reason, "message": "no", "details": details });
        let error = ApiError::Refused {
            verb: "PUT",
            path: "/apis/apps/v1/namespaces/a/deployments/web/status".into(),
            status: serde_json::from_str(&status.to_string()).unwrap(),
        };
        Err(error).context("rolling Deployment a/web").context("syncing")
    }

    #[test]
    fn what_others_did_meanwhile_is_no_error() {
        let about = |kind: &str, name: &str| json!({ "kind": kind, "name": name });
        let terminating = json!({ "causes": [{ "reason": "NamespaceTerminating" }] });
        for (ended, expected) in [
            (Ok(Next::BackOff), Some(Next::BackOff)),
            (
                refused(404, "NotFound", &about("deployments", "web")),
                Some(Next::Done),
            ),
            (refused(404, "NotFound", &about("deployments", "other")), None),
            (refused(404, "NotFound", &about("replicasets", "web")), None),
            (refused(404, "", &Value::Null), None),
            (
                refused(409, "Conflict", &about("replicasets", "web-1")),
                Some(Next::BackOff),
            ),
            (
                refused(409, "AlreadyExists", &about("replicasets", "web-1")),
                None,
            ),
            (refused(403, "Forbidden", &terminating), Some(Next::Done)),
            (refused(403, "Forbidden", &about("deployments", "web")), None),
            (refused(500, "InternalError", &about("deployments", "web")), None),
            (Err(anyhow::anyhow!("no answer at all")), None),
        ] {
            let told = format!("{ended:?}");
            let judged = judge(&DEPLOYMENTS, &ObjectKey::new("a", "web"), ended);
            assert_eq!(judged.ok(), expected, "{told}");
        }
    }
}
