//! What to watch.

use tokio_util::sync::CancellationToken;

use super::reflect::{Reflector, Unserved};
use super::store::{Cache, IndexBy};
use crate::client::{Client, ListOptions};
use crate::meta::{Cached, Istr, Resource};

/// Describes a cache; made by [`Cache::builder`].
#[must_use = "a cache watches nothing until it is started"]
pub struct Builder<K> {
    client: Client,
    resource: Resource,
    namespace: String,
    select: ListOptions,
    metadata_only: bool,
    indexes: Vec<(&'static str, IndexBy<K>)>,
    unserved: Option<Unserved>,
}

impl<K: Cached> Builder<K> {
    pub(super) fn new(client: &Client, resource: &Resource) -> Self {
        Builder {
            client: client.clone(),
            resource: resource.clone(),
            namespace: String::new(),
            select: ListOptions::default(),
            metadata_only: false,
            indexes: Vec::new(),
            unserved: None,
        }
    }

    /// Only objects in `namespace`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Only objects whose labels match `selector`.
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.select = self.select.labels(selector);
        self
    }

    /// Only objects whose fields match `selector`: `spec.nodeName=n1`, `metadata.name=x`.
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.select = self.select.fields(selector);
        self
    }

    /// Ask the server for the metadata alone; `K` is then [`PartialObject`](crate::meta::PartialObject) or alike.
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    /// Files each object under the values that `by` returns, for [`Cache::by_index`].
    pub fn index(mut self, name: &'static str, by: impl Fn(&K) -> Vec<Istr> + Send + Sync + 'static) -> Self {
        self.indexes.push((name, Box::new(by)));
        self
    }

    /// Calls `tell` each time the server says that it does not serve the resource (a custom one, or one of another API server),
    /// in place of a warning. The cache keeps what it has, and goes on trying until it is stopped.
    pub fn unserved(mut self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        self.unserved = Some(Box::new(tell));
        self
    }

    /// Starts the watch on a task of its own, until `stop` is cancelled.
    pub fn start(self, stop: &CancellationToken) -> Cache<K> {
        let cache = Cache::detached(self.indexes);
        let reflector = Reflector::new(
            self.client,
            self.resource,
            self.namespace,
            self.select,
            self.metadata_only,
            self.unserved,
            cache.clone(),
        );
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(reflector.run()).await;
        });
        cache
    }
}
