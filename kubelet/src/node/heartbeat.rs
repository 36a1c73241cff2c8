//! Keeps the node's Lease renewed.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use machinery::arith::backoff::{Backoff, jitter};
use machinery::client::{ApiError, Client};
use machinery::meta::resources::LEASES;
use tracing::{debug, warn};

use super::lease::{NAMESPACE, renewed};
use crate::context::Node;

/// Times a renewal is tried before the next period.
const TRIES: u32 = 5;

/// Renews the lease four times within its duration, until dropped.
pub async fn run(node: Arc<Node>, client: Client) {
    let seconds = node.config.node_lease_duration_seconds;
    let period = Duration::from_secs(u64::try_from(seconds).unwrap_or(40)) / 4;
    let keeper = Keeper {
        api: client,
        node,
        seconds,
    };
    let mut latest: Option<Lease> = None;
    // The lease is owned by the Node: there is none before it.
    let mut object = keeper.node.object.subscribe();
    if object.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        // A request may hang as long as the lease lives; then it is worth no more.
        let renewal = tokio::time::timeout(period * 4, keeper.renew(&mut latest)).await;
        if renewal.is_err() {
            warn!(lease = %keeper.node.name, "renewing the node lease: no answer from the API server in time");
            latest = None;
        }
        tokio::time::sleep(jitter(period, 0.04)).await;
    }
}

struct Keeper {
    api: Client,
    node: Arc<Node>,
    seconds: i32,
}

impl Keeper {
    /// Renews on top of the version we wrote last; on a conflict reads it again. Upstream's pacing of retries.
    async fn renew(&self, latest: &mut Option<Lease>) {
        let mut backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(7));
        for attempt in 1..=TRIES {
            match self.write(latest.as_ref()).await {
                Ok(lease) => {
                    *latest = Some(lease);
                    return;
                }
                Err(error) => {
                    *latest = None;
                    if attempt == TRIES {
                        warn!(lease = %self.node.name, attempts = TRIES, %error, "cannot renew the node lease; trying on");
                    } else {
                        debug!(lease = %self.node.name, %error, "renewing the node lease");
                    }
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn write(&self, latest: Option<&Lease>) -> Result<Lease, ApiError> {
        let name = &*self.node.name;
        let uid = self
            .node
            .object
            .borrow()
            .as_ref()
            .and_then(|node| node.metadata.uid.clone());
        let found;
        let base = match latest {
            Some(_) => latest,
            None => {
                found = match self.api.get::<Lease>(&LEASES, NAMESPACE, name).await {
                    Ok(lease) => Some(lease),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                };
                found.as_ref()
            }
        };
        let lease = renewed(base, name, uid.as_deref(), self.seconds, Timestamp::now());
        match base {
            None => self.api.create(&LEASES, NAMESPACE, &lease).await,
            Some(_) => self.api.update(&LEASES, NAMESPACE, name, &lease).await,
        }
    }
}
