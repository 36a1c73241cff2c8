//! Why a request failed.

use std::time::Duration;

use serde::Deserialize;

/// `metav1.Status`: what the API server says when it refuses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorStatus {
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`, `Forbidden`, `TooManyRequests`, ...
    pub reason: String,
    pub message: String,
    pub details: Option<StatusDetails>,
}

/// `metav1.StatusDetails`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    pub name: String,
    pub kind: String,
    pub retry_after_seconds: u64,
    pub causes: Vec<StatusCause>,
}

/// `metav1.StatusCause`: one field that is wrong, a disruption budget that stands in the way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// `DisruptionBudget`, `FieldValueInvalid`, `NamespaceTerminating`, ...
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// A request failed. Its text says what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server answered and refused.
    #[error("{verb} {path}: {} ({})", status.message, status.code)]
    Refused {
        verb: &'static str,
        path: String,
        status: Box<ErrorStatus>,
    },
    /// The API server did not answer; the request may or may not have been carried out, unless `unsent`.
    #[error("{verb} {path}: cannot reach the API server: {cause}")]
    Unreachable {
        verb: &'static str,
        path: String,
        /// Certainly not carried out: no connection was made.
        unsent: bool,
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server took too long.
    #[error("{verb} {path}: no answer from the API server within {after:?}")]
    TimedOut {
        verb: &'static str,
        path: String,
        after: Duration,
    },
    /// Our credentials could not be had.
    #[error("{verb} {path}: {problem}")]
    Credentials {
        verb: &'static str,
        path: String,
        problem: String,
    },
    /// The body that was to be sent does not encode.
    #[error("{verb} {path}: the request does not encode: {cause}")]
    Encode {
        verb: &'static str,
        path: String,
        cause: serde_json::Error,
    },
    /// The answer does not decode into the type that was asked for.
    #[error("{verb} {path}: the answer is not what was expected: {cause}")]
    Decode {
        verb: &'static str,
        path: String,
        cause: serde_json::Error,
    },
    /// The path has characters that no API path has.
    #[error("{verb} {path}: not a valid request: {cause}")]
    Request {
        verb: &'static str,
        path: String,
        cause: http::Error,
    },
}

impl ApiError {
    /// What the server said, if it answered.
    pub fn status(&self) -> Option<&ErrorStatus> {
        match self {
            ApiError::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The HTTP code, if the server answered.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// The machine-readable reason, or an empty string.
    pub fn reason(&self) -> &str {
        self.status().map_or("", |status| &status.reason)
    }

    fn is(&self, reason: &str, code: u16) -> bool {
        // As client-go: the reason decides where there is one that it knows, else the code.
        self.status().is_some_and(|status| {
            status.reason == reason
                || (status.code == code && (status.reason.is_empty() || status.reason == "Unknown"))
        })
    }

    pub fn is_not_found(&self) -> bool {
        self.is("NotFound", 404)
    }
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }
    pub fn is_conflict(&self) -> bool {
        self.is("Conflict", 409)
    }
    pub fn is_forbidden(&self) -> bool {
        self.is("Forbidden", 403)
    }
    pub fn is_unauthorized(&self) -> bool {
        self.is("Unauthorized", 401)
    }
    pub fn is_invalid(&self) -> bool {
        self.is("Invalid", 422)
    }
    pub fn is_bad_request(&self) -> bool {
        self.is("BadRequest", 400)
    }
    /// The server knows watches, but none that begin with a list.
    pub(crate) fn is_forbidden_streaming(&self) -> bool {
        self.status()
            .is_some_and(|status| status.message.contains("sendInitialEvents"))
    }
    pub fn is_method_not_supported(&self) -> bool {
        self.is("MethodNotAllowed", 405)
    }
    pub fn is_too_many_requests(&self) -> bool {
        self.is("TooManyRequests", 429)
    }
    /// The resource version is too old: relist.
    pub fn is_expired(&self) -> bool {
        self.is("Expired", 410) || self.is("Gone", 410)
    }
    /// Whether no answer came at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, ApiError::Unreachable { .. } | ApiError::TimedOut { .. })
    }
    /// The namespace is being deleted, so nothing can be created in it.
    pub fn is_namespace_terminating(&self) -> bool {
        self.has_cause("NamespaceTerminating")
    }
    /// Whether one of the status' causes has this reason.
    pub fn has_cause(&self, reason: &str) -> bool {
        self.status()
            .and_then(|status| status.details.as_ref())
            .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    }

    /// How long the server asks to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// From an answer that is not a success. `retry_after` is the header of that name, in seconds.
    pub(super) fn refused(
        verb: &'static str,
        path: &str,
        code: u16,
        retry_after: Option<u64>,
        body: &[u8],
    ) -> Self {
        let mut status: ErrorStatus = serde_json::from_slice(body).unwrap_or_default();
        if status.code == 0 {
            status.code = code;
        }
        if status.message.is_empty() {
            let text = String::from_utf8_lossy(body);
            let text: String = text.trim().chars().take(300).collect();
            status.message = if text.is_empty() {
                format!("the API server answered {code}")
            } else {
                text
            };
        }
        if let Some(seconds) = retry_after {
            let details = status.details.get_or_insert_default();
            if details.retry_after_seconds == 0 {
                details.retry_after_seconds = seconds;
            }
        }
        ApiError::Refused {
            verb,
            path: path.to_owned(),
            status: Box::new(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_kept() {
        let body = br#"{"kind":"Status","code":429,"reason":"TooManyRequests","message":"Cannot evict pod",
            "details":{"retryAfterSeconds":10,"causes":[{"reason":"DisruptionBudget","message":"needs 3"}]}}"#;
        let error = ApiError::refused("POST", "/x", 429, Some(1), body);
        assert!(error.is_too_many_requests() && error.has_cause("DisruptionBudget"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(10)));
        assert_eq!(error.to_string(), "POST /x: Cannot evict pod (429)");
    }

    #[test]
    fn an_answer_without_a_status_is_told_by_its_code() {
        let error = ApiError::refused("GET", "/x", 404, None, b"404 page not found\n");
        assert!(error.is_not_found() && !error.is_expired());
        assert_eq!(error.to_string(), "GET /x: 404 page not found (404)");
        let conflict = ApiError::refused(
            "POST",
            "/x",
            409,
            None,
            br#"{"code":409,"reason":"AlreadyExists"}"#,
        );
        assert!(conflict.is_already_exists() && !conflict.is_conflict());
    }
}
