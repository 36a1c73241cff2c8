//! `/metrics/*` and `/stats/summary`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header;
use tracing::warn;

use super::query::Query;
use super::refusal::Refusal;
use crate::context::Node;
use crate::stats::{Stats, exposition, images};

type Host = State<(Arc<Node>, Arc<Stats>)>;

/// The routes of everything that is measured.
pub(super) fn routes(node: &Arc<Node>) -> Router {
    Router::new()
        .route("/metrics", get(own))
        .route("/metrics/resource", get(resource))
        .route("/metrics/cadvisor", get(cadvisor))
        .route("/metrics/probes", get(probes))
        .route("/stats/summary", get(summary))
        .with_state((Arc::clone(node), Arc::default()))
}

fn exposed(text: String) -> Response {
    ([(header::CONTENT_TYPE, machinery::metrics::CONTENT_TYPE)], text).into_response()
}

/// The kubelet's own metrics, without those of probes, which have a path of their own.
async fn own() -> Response {
    exposed(families(&machinery::metrics::encode(), |name| {
        !name.starts_with("prober_")
    }))
}

async fn probes() -> Response {
    let wanted = |name: &str| name.starts_with("prober_") || name == "process_start_time_seconds";
    exposed(families(&machinery::metrics::encode(), wanted))
}

async fn resource(State((node, stats)): Host) -> Response {
    let summary = stats.summary(&node, true).await;
    if let Err(error) = &summary {
        warn!(%error, "no resource metrics");
    }
    exposed(exposition::resource(summary.ok().as_ref()))
}

async fn cadvisor(State((node, stats)): Host) -> Result<Response, Refusal> {
    let summary = stats.summary(&node, false).await?;
    let images = images(&node).await?;
    let capacity = node.capacity.borrow().clone();
    Ok(exposed(exposition::cadvisor(&summary, &capacity, &images)))
}

async fn summary(State((node, stats)): Host, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let only_cpu_and_memory = query.boolean("only_cpu_and_memory").unwrap_or(false);
    Ok(Json(stats.summary(&node, only_cpu_and_memory).await?).into_response())
}

/// The families of a text whose names are `wanted`.
fn families(text: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let name = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
            .unwrap_or(line);
        let name = name.split([' ', '{', '\n']).next().unwrap_or_default();
        if wanted(name) {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_chosen_whole() {
        let text = "# HELP a x\n# TYPE a counter\na{l=\"1\"} 2\n# HELP prober_b y\nprober_b 3\n";
        assert_eq!(
            families(text, |name| name == "a"),
            "# HELP a x\n# TYPE a counter\na{l=\"1\"} 2\n"
        );
        assert_eq!(
            families(text, |name| name.starts_with("prober_")),
            "# HELP prober_b y\nprober_b 3\n"
        );
    }
}
