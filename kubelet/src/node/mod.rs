//! Our Node object: registration, status and lease.
//!
//! In: machine facts, the runtime's state, images. Out: the Node object and its lease; `addresses`, `object` and `capacity`
//! of [`crate::context::Node`].

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Node;

/// Fills `addresses` and `capacity` before any pod is started (no API call is needed for either).
///
/// # Errors
/// When the machine cannot be read.
pub fn observe(node: &Node) -> anyhow::Result<()> {
    let _ = node;
    Ok(())
}

/// Registers the node and keeps its status and lease until `stop`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let _ = node;
    stop.cancelled().await;
}
