//! Watches over the runtime: is it there, is it ready, has it a network.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Handler, RuntimeState, api};
use crate::context::Node;

/// Looks every five seconds while something is wrong, every thirty while all is well.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let state = look(&node).await;
        let healthy = matches!((&state.runtime, &state.network), (Some(Ok(())), Some(Ok(()))));
        node.runtime.send_if_modified(|known| {
            let changed = *known != state;
            if changed {
                say(known, &state, &node);
                *known = state;
            }
            changed
        });
        failures = if healthy { 0 } else { failures.saturating_add(1) };
        // Right after a start the runtime and its network come up within moments: look more often then.
        let pause = match failures {
            0 => Duration::from_secs(30),
            1..=10 => Duration::from_millis(500),
            _ => Duration::from_secs(5),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn say(before: &RuntimeState, now: &RuntimeState, node: &Node) {
    let socket = node.cri.socket().display();
    if before.runtime != now.runtime {
        match &now.runtime {
            Some(Ok(())) => info!(%socket, version = %now.version, "container runtime is ready"),
            Some(Err(why)) => warn!(%socket, %why, "container runtime is not ready: trying again"),
            None => {}
        }
    }
    if before.network != now.network
        && let Some(Err(why)) = &now.network
    {
        warn!(%why, "container network is not ready: trying again");
    }
}

async fn look(node: &Node) -> RuntimeState {
    let status = match node.cri.status().await {
        Ok(status) => status,
        Err(error) => {
            let why = if node.cri.socket().exists() {
                error.to_string()
            } else {
                format!(
                    "nothing listens on {}: is the container runtime started, and does containerRuntimeEndpoint name \
                     its socket?",
                    node.cri.socket().display()
                )
            };
            return RuntimeState {
                runtime: Some(Err(why)),
                ..node.runtime.borrow().clone()
            };
        }
    };
    let known = node.runtime.borrow().version.clone();
    let version = if known.is_empty() {
        node.cri
            .version()
            .await
            .map(|v| {
                format!(
                    "{}://{}",
                    v.runtime_name,
                    v.runtime_version.trim_start_matches('v')
                )
            })
            .unwrap_or_default()
    } else {
        known
    };
    state(&status, version)
}

fn state(response: &api::StatusResponse, version: String) -> RuntimeState {
    let condition = |kind: &str| {
        let found = response
            .status
            .iter()
            .flat_map(|s| &s.conditions)
            .find(|c| c.r#type == kind);
        Some(match found {
            Some(c) if c.status => Ok(()),
            Some(c) => Err(format!("{} reason:{} message:{}", c.r#type, c.reason, c.message)),
            None => Err(format!("{kind} is not reported")),
        })
    };
    RuntimeState {
        runtime: condition("RuntimeReady"),
        network: condition("NetworkReady"),
        handlers: response
            .runtime_handlers
            .iter()
            .map(|h| {
                let features = h.features.unwrap_or_default();
                Handler {
                    name: h.name.clone(),
                    recursive_read_only_mounts: features.recursive_read_only_mounts,
                    user_namespaces: features.user_namespaces,
                }
            })
            .collect(),
        version,
        supplemental_groups_policy: response.features.is_some_and(|f| f.supplemental_groups_policy),
    }
}
