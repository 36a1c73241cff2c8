//! The kubelet's endpoints, by path.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::StatusCode;
use machinery::component::serving::Health;

use super::commands::{self, At};
use super::query::Query;
use super::refusal::Refusal;
use super::{logs, metrics, pods, system_logs};
use crate::context::Node;

type Host = State<Arc<Node>>;

/// What the read-only port serves too: nothing of it can change anything.
pub(super) fn read_only(node: &Arc<Node>, health: &Health) -> Router {
    Router::new()
        .merge(healthz(health))
        .route(
            "/pods",
            get(|State(node): Host| async move { Json(pods::wanted(&node)) }),
        )
        .with_state(Arc::clone(node))
        .merge(metrics::routes(node))
}

/// Only `/healthz`, for its own port.
pub(super) fn healthz<S: Clone + Send + Sync + 'static>(health: &Health) -> Router<S> {
    let answer = |health: Health| {
        get(move |request: Request| async move {
            let query = Query::parse(request.uri().query());
            let exclude: Vec<String> = query.all("exclude").map(str::to_owned).collect();
            let verbose = query.all("verbose").next().is_some();
            let (well, text) = health.answer("healthz", verbose, &exclude);
            (
                if well {
                    StatusCode::OK
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                },
                text,
            )
        })
    };
    Router::new()
        .route("/healthz", answer(health.clone()))
        .route("/healthz/{check}", answer(health.clone()))
}

/// Everything, for the port behind authentication and authorization.
pub(super) fn all(node: &Arc<Node>, health: &Health) -> Router {
    let read_only = read_only(node, health);
    let router = if node.config.enable_debugging_handlers {
        debugging(node)
    } else {
        let off = || any(|| async { (StatusCode::METHOD_NOT_ALLOWED, "Debug endpoints are disabled.\n") });
        [
            "/run",
            "/exec",
            "/attach",
            "/portForward",
            "/containerLogs",
            "/runningpods",
            "/debug/pprof",
            "/logs",
        ]
        .iter()
        .fold(Router::new(), |router, path| {
            router
                .route(&format!("{path}/"), off())
                .route(&format!("{path}/{{*rest}}"), off())
        })
    };
    read_only.merge(router)
}

fn debugging(node: &Arc<Node>) -> Router {
    let off = |what: &'static str| any(move || async move { (StatusCode::METHOD_NOT_ALLOWED, what) });
    let system_logs = |on: bool| {
        if on {
            get(logs_below)
        } else {
            off("logs endpoint is disabled.\n")
        }
    };
    let on = node.config.enable_system_log_handler;
    Router::new()
        .route(
            "/containerLogs/{namespace}/{pod}/{container}",
            get(container_logs),
        )
        .route("/exec/{namespace}/{pod}/{container}", get(exec).post(exec))
        .route(
            "/exec/{namespace}/{pod}/{uid}/{container}",
            get(exec_uid).post(exec_uid),
        )
        .route("/attach/{namespace}/{pod}/{container}", get(attach).post(attach))
        .route(
            "/attach/{namespace}/{pod}/{uid}/{container}",
            get(attach_uid).post(attach_uid),
        )
        .route(
            "/portForward/{namespace}/{pod}",
            get(port_forward).post(port_forward),
        )
        .route(
            "/portForward/{namespace}/{pod}/{uid}",
            get(port_forward_uid).post(port_forward_uid),
        )
        .route("/run/{namespace}/{pod}/{container}", post(run))
        .route("/run/{namespace}/{pod}/{uid}/{container}", post(run_uid))
        .route("/runningpods", get(running_pods))
        .route("/runningpods/", get(running_pods))
        .route("/configz", get(configz))
        .route("/logs", system_logs(on))
        .route("/logs/", system_logs(on))
        .route("/logs/{*path}", system_logs(on))
        .route("/debug/pprof/{*rest}", off("profiling endpoint is disabled.\n"))
        .with_state(Arc::clone(node))
}

fn whichever(answer: Result<Response, Refusal>) -> Response {
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn container_logs(
    State(node): Host,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let query = Query::parse(request.uri().query());
    whichever(logs::serve(&node, &namespace, &pod, &container, &query).await)
}

async fn exec(
    State(node): Host,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let at = At {
        namespace: &namespace,
        pod: &pod,
        container: &container,
    };
    whichever(commands::exec(&node, &at, request).await)
}

async fn exec_uid(
    host: Host,
    Path((namespace, pod, _, container)): Path<(String, String, String, String)>,
    request: Request,
) -> Response {
    exec(host, Path((namespace, pod, container)), request).await
}

async fn attach(
    State(node): Host,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let at = At {
        namespace: &namespace,
        pod: &pod,
        container: &container,
    };
    whichever(commands::attach(&node, &at, request).await)
}

async fn attach_uid(
    host: Host,
    Path((namespace, pod, _, container)): Path<(String, String, String, String)>,
    request: Request,
) -> Response {
    attach(host, Path((namespace, pod, container)), request).await
}

async fn port_forward(
    State(node): Host,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request,
) -> Response {
    whichever(commands::port_forward(&node, &namespace, &pod, None, request).await)
}

async fn port_forward_uid(
    State(node): Host,
    Path((namespace, pod, uid)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    whichever(commands::port_forward(&node, &namespace, &pod, Some(&uid), request).await)
}

async fn run(
    State(node): Host,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let at = At {
        namespace: &namespace,
        pod: &pod,
        container: &container,
    };
    whichever(commands::run(&node, &at, &Query::parse(request.uri().query())).await)
}

async fn run_uid(
    host: Host,
    Path((namespace, pod, _, container)): Path<(String, String, String, String)>,
    request: Request,
) -> Response {
    run(host, Path((namespace, pod, container)), request).await
}

async fn running_pods(State(node): Host) -> Response {
    match pods::running(&node).await {
        Ok(list) => Json(list).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn configz(State(node): Host) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "kubeletconfig": &*node.config }))
}

async fn logs_below(path: Option<Path<String>>) -> Response {
    system_logs::serve(path.as_deref().map_or("", String::as_str))
}
