//! An answer that says why not.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::cri::CriError;

/// A status code and, in upstream's words, the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    code: StatusCode,
    why: String,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, why: impl Into<String>) -> Refusal {
        Refusal {
            code,
            why: why.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code, self.why).into_response()
    }
}

impl From<CriError> for Refusal {
    fn from(error: CriError) -> Self {
        let code = if error.is_not_found() {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Refusal::new(code, error.to_string())
    }
}
