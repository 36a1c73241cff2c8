//! This node, as the cluster sees it.
//!
//! ```text
//! flags, config ──┐
//! /proc, /sys ────┼─> status::Facts ─> status::fill ─> patch::status ─> API (Node)
//! runtime, images ┘                                        every 10 s: Lease
//! ```
//!
//! In: the node's identity, the machine, the runtime's state, images, pressures. Out: the Node object and its Lease;
//! `addresses`, `object` and `capacity` of [`crate::context::Node`].

pub mod address;
pub mod capacity;
pub mod conditions;
mod flags;
pub mod follow;
mod heartbeat;
pub mod images;
pub mod lease;
pub mod machine;
pub mod object;
pub mod patch;
pub mod reserve;
pub mod status;
mod sync;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use capacity::Reservation;
pub use conditions::Pressure;
pub use flags::Flags;
pub use object::Identity;

use crate::context::Node;

/// What `nodeInfo.kubeletVersion` says: the upstream version whose behaviour this is.
pub const KUBELET_VERSION: &str = "v1.37.1";

/// Fills `addresses` and `capacity` before any pod is started (no API call is needed for either).
///
/// # Errors
/// When the configuration's reservations or `--node-ip` cannot be used on this machine.
pub fn observe(node: &Arc<Node>) -> anyhow::Result<()> {
    sync::Keeper::new(Arc::clone(node))?.publish()
}

/// Registers the node and keeps its status and lease until `stop`. Without an API server there is nothing to do.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let Some(client) = node.api.clone() else { return };
    let keeper = match sync::Keeper::new(Arc::clone(&node)) {
        Ok(keeper) => keeper,
        Err(error) => {
            // `observe` has already refused to start with this configuration.
            debug!(%error, "node status");
            return;
        }
    };
    let watch = watch(&node, client.clone());
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.run(client.clone()) => {}
        () = heartbeat::run(Arc::clone(&node), client) => {}
        () = watch => {}
    }
}

/// Keeps `object` as the API has it: labels, taints and the pod range are written by others.
async fn watch(node: &Node, client: machinery::client::Client) {
    // Nothing to see before the node is registered.
    let mut object = node.object.subscribe();
    if node.config.register_node && object.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let on = |seen: follow::Seen<k8s_openapi::api::core::v1::Node>| match seen {
        follow::Seen::Present(found) => {
            node.object.send_if_modified(|known| {
                let newer = known
                    .as_ref()
                    .is_none_or(|known| known.metadata.resource_version != found.metadata.resource_version);
                *known = Some(found);
                newer
            });
        }
        follow::Seen::Absent => drop(node.object.send_replace(None)),
        follow::Seen::Failed(error) => debug!(%error, "watching our Node"),
    };
    follow::follow(client, &machinery::meta::resources::NODES, "", &node.name, on).await;
}
