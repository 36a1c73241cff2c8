//! The routes that every component has, and the layer that guards them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{StatusCode, header};

use super::health::Health;
use crate::component::auth::{Attributes, Gate};
use crate::metrics;

/// `/healthz`, `/livez`, `/readyz`, `/metrics`, `/configz` (of `configz`, if there is one) and `/version`.
pub fn standard(health: &Health, configz: Option<serde_json::Value>) -> Router {
    let endpoint = |name: &'static str| {
        let health = health.clone();
        get(move |request: Request| async move {
            let query = request.uri().query().unwrap_or_default();
            let verbose = query
                .split('&')
                .any(|part| part == "verbose" || part.starts_with("verbose="));
            let exclude: Vec<String> = query
                .split('&')
                .filter_map(|part| part.strip_prefix("exclude="))
                .map(str::to_owned)
                .collect();
            let (well, text) = health.answer(name, verbose, &exclude);
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
    let mut router = Router::new()
        .route("/healthz", endpoint("healthz"))
        .route("/livez", endpoint("livez"))
        .route("/readyz", endpoint("readyz"))
        .route(
            "/metrics",
            get(|| async { ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::encode()) }),
        );
    if let Some(configz) = configz {
        router = router.route(
            "/configz",
            get(move || async move { axum::Json(configz.clone()) }),
        );
    }
    router
}

/// Lets requests through to `router` that `gate` admits, by the attributes of their paths.
pub fn guard(router: Router, gate: Arc<Gate>) -> Router {
    guard_by(
        router,
        gate,
        Arc::new(|parts: &Parts| vec![Attributes::of_path(parts)]),
    )
}

/// As [`guard`], with attributes of the component's own.
pub fn guard_by(router: Router, gate: Arc<Gate>, attributes: AttributesOf) -> Router {
    router.layer(axum::middleware::from_fn_with_state((gate, attributes), admit))
}

/// What a request is for, in the authorizer's words; the narrower first.
pub type AttributesOf = Arc<dyn Fn(&Parts) -> Vec<Attributes> + Send + Sync>;

type Guarded = (Arc<Gate>, AttributesOf);

async fn admit(State((gate, attributes)): State<Guarded>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let wanted = attributes(&parts);
    match gate.admit(&parts, &wanted).await {
        Ok(identity) => {
            parts.extensions.insert(Arc::new(identity));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(rejection) => rejection.parts().into_response(),
    }
}
