//! Watches and writes.

use crate::api::Volume;
use crate::context::Context;
use crate::protection::Protection;
use machinery::meta::resources::PERSISTENT_VOLUMES;
use machinery::queue::Queue;

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let protection = Protection {
        finalizer: "kubernetes.io/pv-protection",
        resource: PERSISTENT_VOLUMES,
        objects: context.caches.volumes().clone(),
        queue: Queue::new("pvprotection"),
    };
    protection
        .run(context, |volume: &Volume| volume.status.phase == "Bound")
        .await;
}
