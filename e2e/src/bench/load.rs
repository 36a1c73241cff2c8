//! Many requests at once, over several connections.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use machinery::client::{ApiError, Client, Config, DeleteOptions, ListOptions};
use machinery::meta::Resource;
use machinery::meta::resources::{LEASES, NAMESPACES};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// The API server answers at most 100 requests at once on one connection.
const CONNECTIONS: usize = 6;
/// Requests on their way at once, over all connections: more would only wait in the API server.
pub const IN_FLIGHT: usize = 48;

/// Clients without pacing, each with a connection of its own.
#[derive(Clone)]
pub struct Load {
    clients: Vec<Client>,
}

impl Load {
    pub fn new(config: &Config) -> Result<Self> {
        let clients = (0..CONNECTIONS)
            .map(|_| Ok(Client::new(config.clone())?.unpaced()))
            .collect::<Result<Vec<_>>>()
            .context("making clients for the load")?;
        Ok(Self { clients })
    }

    /// The client for what comes one by one.
    #[allow(clippy::indexing_slicing)] // There are CONNECTIONS.
    pub fn one(&self) -> &Client {
        &self.clients[0]
    }

    /// Does `work` once for each of `items`.
    ///
    /// # Errors
    /// With the first that failed.
    pub async fn each<T, F, E>(
        &self,
        items: impl IntoIterator<Item = T>,
        mut work: impl FnMut(Client, T) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<(), E>>,
        E: Into<anyhow::Error>,
    {
        let clients = self.clients.iter().cycle();
        let calls = items
            .into_iter()
            .zip(clients)
            .map(|(item, client)| work(client.clone(), item));
        futures::stream::iter(calls)
            .map(|call| async { call.await.map_err(Into::into) })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await
    }

    /// Creates `objects`.
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        objects: impl IntoIterator<Item = Value>,
    ) -> Result<()> {
        self.each(objects, |client, object| async move {
            client
                .create::<IgnoredAny, _>(resource, namespace, &object)
                .await
                .map(drop)
        })
        .await
    }

    /// Deletes all objects of a kind in a namespace at once, and waits until they are gone.
    pub async fn clear(&self, resource: &Resource, namespace: &str) -> Result<()> {
        let now = DeleteOptions::default().grace(0);
        // More would take longer than a request may.
        let page = ListOptions::default().limit(1000);
        loop {
            self.one()
                .delete_collection(resource, namespace, &now, &page)
                .await?;
            let one = ListOptions::default().limit(1);
            let left = self.one().list::<IgnoredAny>(resource, namespace, &one).await?;
            if left.items.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A namespace; one that is there already will do.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let body = json!({ "metadata": { "name": name } });
        match self.one().create::<IgnoredAny, _>(&NAMESPACES, "", &body).await {
            Err(error) if !error.is_already_exists() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes a namespace, without waiting for its end.
    pub async fn drop_namespace(&self, name: &str) -> Result<()> {
        let none = DeleteOptions::default();
        gone(self.one().delete(&NAMESPACES, "", name, &none).await)
    }

    /// Removes a leader's lease, so that the next need not wait until it runs out.
    pub async fn drop_lease(&self, name: &str) -> Result<()> {
        let none = DeleteOptions::default();
        gone(self.one().delete(&LEASES, "kube-system", name, &none).await)
    }
}

/// That an object is gone already is no error.
pub fn gone(outcome: Result<(), ApiError>) -> Result<()> {
    match outcome {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
