//! The cluster's Services, as far as environments need them.

use std::collections::BTreeMap;
use std::time::Duration;

use machinery::cache::Cache;
use machinery::client::Client;
use machinery::meta::resources::SERVICES;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::services::{Service, variables};

/// How long a container may wait for the first list.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows all Services for as long as it lives; none without an API server.
pub(crate) struct Services(Option<(Cache<Service>, DropGuard)>);

impl Services {
    pub(crate) fn start(client: Option<&Client>) -> Services {
        Services(client.map(|client| {
            let stop = CancellationToken::new();
            (Cache::builder(client, &SERVICES).start(&stop), stop.drop_guard())
        }))
    }

    /// The variables of a pod in `namespace`.
    ///
    /// # Errors
    /// If the pod `needs` the Services and they have not been read yet. (A static pod starts without them.)
    pub(crate) async fn variables(
        &self,
        namespace: &str,
        links: bool,
        needs: bool,
    ) -> Result<BTreeMap<String, String>, &'static str> {
        let Some((cache, _)) = &self.0 else {
            return Ok(BTreeMap::new());
        };
        if needs && !cache.is_synced() && tokio::time::timeout(PATIENCE, cache.synced()).await.is_err() {
            return Err("services have not yet been read at least once, cannot construct envvars");
        }
        let services = cache.list();
        Ok(variables(
            services.iter().map(|service| &**service),
            namespace,
            links,
        ))
    }
}
