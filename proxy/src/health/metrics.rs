use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use machinery::component::serving::{Health, standard};

/// Port 10249: `/metrics`, `/healthz`, `/configz`, `/proxyMode`.
pub fn metrics_router(configz: serde_json::Value) -> Router {
    let mode = || async {
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, "nftables").into_response()
    };
    standard(&Health::default(), Some(configz)).route("/proxyMode", get(mode))
}
