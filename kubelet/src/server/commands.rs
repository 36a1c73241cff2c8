//! `/exec`, `/attach`, `/portForward`, `/run`: what the runtime does in a pod on somebody's behalf.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::query::{Query, Streams};
use super::refusal::Refusal;
use super::{stream, target};
use crate::context::Node;
use crate::cri::api::{AttachRequest, ExecRequest, ExecSyncRequest, PortForwardRequest};

/// Whom a command is for.
pub(super) struct At<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub container: &'a str,
}

type Answer = Result<Response, Refusal>;

fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "pod does not exist")
}

fn container_id(node: &Node, at: &At<'_>) -> Result<String, Refusal> {
    let view = target::pod(node, at.namespace, at.pod).ok_or_else(absent)?;
    target::running(&view, at.container)
        .map(|id| id.to_string())
        .map_err(|why| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why))
}

/// Runs a command with its streams connected.
pub(super) async fn exec(node: &Arc<Node>, at: &At<'_>, request: Request) -> Answer {
    let query = Query::parse(request.uri().query());
    let streams = Streams::of(&query).map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?;
    let wanted = ExecRequest {
        container_id: container_id(node, at)?,
        cmd: query.all("command").map(str::to_owned).collect(),
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    let answer = node
        .cri
        .service()
        .exec(wanted)
        .await
        .map_err(node.cri.error("Exec"))?;
    Ok(stream::pass(request, &answer.into_inner().url).await)
}

/// Connects to the streams of the container's first process.
pub(super) async fn attach(node: &Arc<Node>, at: &At<'_>, request: Request) -> Answer {
    let query = Query::parse(request.uri().query());
    let streams = Streams::of(&query).map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?;
    let container_id = container_id(node, at)?;
    // Whether there is a terminal was decided when the container was made, not by who attaches.
    let tty = target::pod(node, at.namespace, at.pod).is_some_and(|view| has_tty(&view.pod, at.container));
    let wanted = AttachRequest {
        container_id,
        tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr && !tty,
    };
    let answer = node
        .cri
        .service()
        .attach(wanted)
        .await
        .map_err(node.cri.error("Attach"))?;
    Ok(stream::pass(request, &answer.into_inner().url).await)
}

fn has_tty(pod: &k8s_openapi::api::core::v1::Pod, name: &str) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let ephemeral = spec
            .ephemeral_containers
            .iter()
            .flatten()
            .map(|c| (&c.name, c.tty));
        let others = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .map(|c| (&c.name, c.tty));
        others
            .chain(ephemeral)
            .any(|(known, tty)| known == name && tty == Some(true))
    })
}

/// Connects to ports of the pod.
pub(super) async fn port_forward(
    node: &Arc<Node>,
    namespace: &str,
    pod: &str,
    uid: Option<&str>,
    request: Request,
) -> Answer {
    let query = Query::parse(request.uri().query());
    let port = query
        .all("port")
        .flat_map(|ports| ports.split(','))
        .map(|port| port.parse::<u16>().map(i32::from))
        .collect::<Result<Vec<i32>, _>>()
        .map_err(|_| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "unable to parse port: ports are numbers from 1 to 65535",
            )
        })?;
    let view = target::pod(node, namespace, pod).ok_or_else(absent)?;
    if uid.is_some_and(|uid| view.pod.metadata.uid.as_deref() != Some(uid)) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "pod not found"));
    }
    let Some(sandbox) = &view.sandbox else {
        let why = format!("failed to find sandbox for pod {pod:?} of namespace {namespace:?}");
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why));
    };
    let wanted = PortForwardRequest {
        pod_sandbox_id: sandbox.to_string(),
        port,
    };
    let answer = node
        .cri
        .service()
        .port_forward(wanted)
        .await
        .map_err(node.cri.error("PortForward"))?;
    Ok(stream::pass(request, &answer.into_inner().url).await)
}

/// Runs a command and answers with what it wrote.
pub(super) async fn run(node: &Arc<Node>, at: &At<'_>, query: &Query) -> Answer {
    let wanted = ExecSyncRequest {
        container_id: container_id(node, at)?,
        cmd: query
            .get("cmd")
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned)
            .collect(),
        timeout: 0,
    };
    let answer = node
        .cri
        .service()
        .exec_sync(wanted)
        .await
        .map_err(node.cri.error("ExecSync"))?
        .into_inner();
    let mut output = answer.stdout;
    output.extend(answer.stderr);
    if answer.exit_code != 0 {
        let why = format!(
            "command '{}' exited with {}: {}",
            query.get("cmd").unwrap_or_default(),
            answer.exit_code,
            String::from_utf8_lossy(&output)
        );
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why));
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], output).into_response())
}
