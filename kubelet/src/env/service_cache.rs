//! The cluster's Services, as far as environments need them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tracing::debug;

use super::services::{Named, Service, variables};
use crate::context::ApiClient;
use crate::node::follow::{Told, follow_all};

/// How long a container may wait for the first list.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows all Services for as long as it lives.
pub(crate) struct Services {
    known: Arc<RwLock<FxHashMap<Named, Service>>>,
    synced: watch::Receiver<bool>,
    connected: bool,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Services {
    pub(crate) fn start(client: Option<ApiClient>) -> Services {
        let known: Arc<RwLock<FxHashMap<Named, Service>>> = Arc::default();
        let (sender, synced) = watch::channel(false);
        let connected = client.is_some();
        let task = client.map(|client| tokio::spawn(keep(client, Arc::clone(&known), sender)));
        Services {
            known,
            synced,
            connected,
            task,
        }
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
        if self.connected && needs {
            let mut synced = self.synced.clone();
            let done = tokio::time::timeout(PATIENCE, synced.wait_for(|synced| *synced)).await;
            if !matches!(done, Ok(Ok(_))) {
                return Err("services have not yet been read at least once, cannot construct envvars");
            }
        }
        Ok(variables(self.known.read().values(), namespace, links))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep(client: ApiClient, known: Arc<RwLock<FxHashMap<Named, Service>>>, synced: watch::Sender<bool>) {
    // What a connection tells before it is complete replaces what was known, so that deletes in between are not lost.
    let mut listing: Option<FxHashMap<Named, Service>> = None;
    let on = |told: Told<Service>| match told {
        Told::Started => listing = Some(FxHashMap::default()),
        Told::Present(service) => {
            let into = &mut listing;
            match into {
                Some(listing) => drop(listing.insert(service.metadata.clone(), service)),
                None => drop(known.write().insert(service.metadata.clone(), service)),
            }
        }
        Told::Gone(service) => {
            if let Some(listing) = &mut listing {
                listing.remove(&service.metadata);
            }
            known.write().remove(&service.metadata);
        }
        Told::Complete => {
            if let Some(listing) = listing.take() {
                *known.write() = listing;
            }
            synced.send_replace(true);
        }
        Told::Failed(error) => debug!(%error, "watching Services"),
    };
    follow_all(client, "/api/v1/services", None, on).await;
}
