use super::state::Shared;
use crate::metrics::Metrics;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use jiff::Timestamp;

/// `/healthz`, which speaks for the node too, and `/livez`, which speaks for the proxy alone.
pub fn proxy_router(health: &Shared, metrics: &Metrics) -> Router {
    let endpoint = |of_node: bool| {
        let (health, metrics) = (health.clone(), metrics.clone());
        any(move || async move {
            let (well, report) = health.lock().report(of_node, Timestamp::now());
            let status = if well {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let codes = if of_node { &metrics.healthz } else { &metrics.livez };
            codes
                .get_or_create(&vec![("code", status.as_str().to_owned())])
                .inc();
            document(status, serde_json::to_string(&report).unwrap_or_default())
        })
    };
    Router::new()
        .route("/healthz", endpoint(true))
        .route("/livez", endpoint(false))
}

pub(super) fn document(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}
