//! `/containerLogs`: the log of one container.
//!
//! ```text
//! query -> options ─┐
//! pod status -> choose -> CRI (log path) -> reader: file, tail, inotify -> format (pure) -> body
//! ```

mod choose;
mod format;
mod line;
mod options;
mod reader;
mod tail;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::debug;

use super::query::Query;
use super::refusal::Refusal;
use super::target;
use crate::context::Node;
use crate::cri::api::ContainerStatusRequest;
use options::{BadOptions, Options};
use reader::Reader;

/// Answers a request for the log of a container.
pub(super) async fn serve(
    node: &Arc<Node>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Result<Response, Refusal> {
    let options = Options::of(query, Timestamp::now()).map_err(|bad| match bad {
        BadOptions::Unreadable => Refusal::new(
            StatusCode::BAD_REQUEST,
            r#"{"message": "Unable to decode query."}"#.to_owned(),
        ),
        BadOptions::Invalid => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"message": "Invalid request."}"#.to_owned(),
        ),
    })?;
    let view = target::pod(node, namespace, pod)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist")))?;
    if !target::has_container(&view.pod, container) {
        let why = format!("container {container:?} not found in pod {pod:?}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, why));
    }
    let id = choose::container_id(pod, &view.status, container, options.previous)
        .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?
        .to_owned();
    let path = log_path(node, &id)
        .await
        .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?;
    let reader = Reader::open(Path::new(&path), &options).map_err(|error| {
        let why = format!("failed to try resolving symlinks in path {path:?}: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, why)
    })?;

    let (sender, receiver) = mpsc::channel(2);
    let node = Arc::clone(node);
    let uid: Box<str> = view.pod.metadata.uid.as_deref().unwrap_or_default().into();
    tokio::spawn(async move {
        let is_running = || {
            let view = node.pods.by_uid(&uid);
            view.is_some_and(|view| {
                view.containers
                    .iter()
                    .any(|known| *known.id == *id && known.running)
            })
        };
        if let Err(error) = reader.run(&sender, is_running).await {
            debug!(container = id, %error, "reading a log");
            // The answer has begun: all that can be done is to break it off.
            let _ = sender.send(Err(error)).await;
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

async fn log_path(node: &Node, id: &str) -> Result<String, String> {
    let request = ContainerStatusRequest {
        container_id: id.to_owned(),
        verbose: false,
    };
    let unable = || format!("unable to retrieve container logs for containerd://{id}");
    let answer = node
        .cri
        .service()
        .container_status(request)
        .await
        .map_err(|_| unable())?;
    let path = answer
        .into_inner()
        .status
        .map(|status| status.log_path)
        .unwrap_or_default();
    if path.is_empty() { Err(unable()) } else { Ok(path) }
}
