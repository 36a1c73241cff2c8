//! The server on 10250 (and the read-only and healthz ports).
//!
//! In: requests from the API server, `kubectl logs|exec|attach|port-forward`, scrapers. Out: streams to and from the runtime,
//! log files, the pods of [`crate::pod::registry`].

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Node;

/// Serves until `stop`.
///
/// # Errors
/// When the address cannot be bound or the certificate cannot be read or made.
pub async fn run(node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
    let _ = node;
    stop.cancelled().await;
    Ok(())
}
