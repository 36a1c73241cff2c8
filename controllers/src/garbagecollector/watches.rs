//! One watch of bare metadata for every kind that can be deleted, as kinds come and go.

use super::graph::{Graph, Work};
use crate::caches::Caches;
use machinery::cache::{Cache, Event};
use machinery::client::Client;
use machinery::meta::{Istr, Object, ObjectMeta, Resource, resources};
use machinery::queue::Queue;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Kinds that are not looked at: nobody owns by them, and there are many.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];
/// How long a kind may keep the others waiting for its first list.
const PATIENCE: Duration = Duration::from_secs(30);

/// Metadata without labels and annotations.
pub struct Bare {
    metadata: ObjectMeta,
}

impl Object for Bare {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            metadata: ObjectMeta,
        }
        let Whole { mut metadata } = Whole::deserialize(deserializer)?;
        (metadata.labels, metadata.annotations) = Default::default();
        Ok(Self { metadata })
    }
}

/// The kinds by what references call them.
#[derive(Default)]
pub struct Kinds(Mutex<FxHashMap<(String, String), Arc<Resource>>>);

impl Kinds {
    /// The kind that a reference means, by group and kind.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.0.lock().get(&(group.to_owned(), kind.to_owned())).cloned()
    }
}

pub struct Watches {
    caches: Arc<Caches>,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<Work>,
    kinds: Arc<Kinds>,
    /// Told when a kind that is watched is not served any more.
    rediscover: Arc<Notify>,
    running: FxHashMap<Resource, CancellationToken>,
    stop: CancellationToken,
}

/// Ends with a first list.
type Synced = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What came of asking what kinds there are.
#[must_use]
pub struct Refreshed {
    /// Whether all groups could be asked.
    pub complete: bool,
    lists: Vec<Synced>,
}

impl Refreshed {
    /// Waits for the first lists of the kinds that are new.
    pub async fn listed(self) {
        let all = futures::future::join_all(self.lists);
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("some kinds could not be listed yet; collecting goes on without them");
        }
    }
}

impl Watches {
    pub fn new(
        caches: Arc<Caches>,
        graph: Arc<Mutex<Graph>>,
        queue: Queue<Work>,
        kinds: Arc<Kinds>,
        rediscover: Arc<Notify>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            caches,
            graph,
            queue,
            kinds,
            rediscover,
            running: FxHashMap::default(),
            stop,
        }
    }

    /// Whether nothing is watched yet.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Finds out what there is, starts watches of new kinds and ends those of old ones.
    pub async fn refresh(&mut self, client: &Client) -> Refreshed {
        let discovered = match client.discover().await {
            Ok(discovered) => discovered,
            Err(error) => {
                tracing::warn!("cannot ask what kinds there are: {error}");
                return Refreshed {
                    complete: false,
                    lists: Vec::new(),
                };
            }
        };
        let mut kinds = FxHashMap::default();
        let mut wanted = Vec::new();
        for found in discovered.resources {
            let resource = found.resource.clone();
            if found.preferred {
                kinds
                    .entry((resource.group.to_string(), resource.kind.to_string()))
                    .or_insert_with(|| Arc::new(resource.clone()));
                let ignored = IGNORED.contains(&(&*resource.group, &*resource.plural));
                if !ignored && found.can(&["delete", "list", "watch"]) {
                    wanted.push(resource);
                }
            }
        }
        *self.kinds.0.lock() = kinds;
        let stale = |group: &str| {
            let groups = discovered.stale.iter().map(|stale| stale.split('/').next());
            groups.flatten().any(|stale| stale == group)
        };
        self.running.retain(|resource, stop| {
            // A group that does not answer now may still be there.
            let keep = wanted.contains(resource) || stale(&resource.group);
            if !keep {
                tracing::debug!(%resource, "the kind is gone");
                stop.cancel();
            }
            keep
        });
        let mut lists = Vec::new();
        for resource in wanted {
            if !self.running.contains_key(&resource) {
                let stop = self.stop.child_token();
                lists.push(self.watch(&resource, &stop));
                self.running.insert(resource, stop);
            }
        }
        Refreshed {
            complete: discovered.stale.is_empty(),
            lists,
        }
    }

    fn watch(&self, resource: &Resource, stop: &CancellationToken) -> Synced {
        // Kinds that controllers watch anyway are watched once.
        match resource {
            kind if *kind == resources::PODS => self.follow(resource, self.caches.pods().clone(), stop),
            kind if *kind == resources::REPLICA_SETS => {
                self.follow(resource, self.caches.replica_sets().clone(), stop)
            }
            kind if *kind == resources::DEPLOYMENTS => {
                self.follow(resource, self.caches.deployments().clone(), stop)
            }
            kind if *kind == resources::JOBS => self.follow(resource, self.caches.jobs().clone(), stop),
            kind if *kind == resources::REPLICATION_CONTROLLERS => {
                self.follow(resource, self.caches.replication_controllers().clone(), stop)
            }
            kind if *kind == resources::RESOURCE_QUOTAS => {
                self.follow(resource, self.caches.resource_quotas().clone(), stop)
            }
            kind if *kind == resources::CRON_JOBS => {
                self.follow(resource, self.caches.cron_jobs().clone(), stop)
            }
            kind if *kind == resources::SERVICES => {
                self.follow(resource, self.caches.services().clone(), stop)
            }
            kind if *kind == resources::ENDPOINT_SLICES => {
                self.follow(resource, self.caches.endpoint_slices().clone(), stop)
            }
            kind if *kind == resources::NODES => self.follow(resource, self.caches.nodes().clone(), stop),
            kind if *kind == resources::NAMESPACES => {
                self.follow(resource, self.caches.namespaces().clone(), stop)
            }
            kind if *kind == resources::SERVICE_ACCOUNTS => {
                self.follow(resource, self.caches.service_accounts().clone(), stop)
            }
            _ => {
                let rediscover = self.rediscover.clone();
                let cache: Cache<Bare> = Cache::builder(self.caches.client(), resource)
                    .metadata_only()
                    .unserved(move || rediscover.notify_one())
                    .start(stop);
                self.follow(resource, cache, stop)
            }
        }
    }

    fn follow<K: Object>(&self, resource: &Resource, cache: Cache<K>, stop: &CancellationToken) -> Synced {
        let (graph, queue, resource) = (self.graph.clone(), self.queue.clone(), Arc::new(resource.clone()));
        cache.subscribe(move |event| {
            let work = match event {
                Event::Added(object) => graph.lock().upsert(&resource, object.meta()),
                Event::Updated { old, new } => {
                    let mut graph = graph.lock();
                    let mut work = replaced(&mut graph, &old.meta().uid, &new.meta().uid);
                    work.extend(graph.upsert(&resource, new.meta()));
                    work
                }
                Event::Deleted(last) => graph.lock().remove(&last.meta().uid),
            };
            work.into_iter().for_each(|work| queue.add(work));
        });
        let stop = stop.clone();
        Box::pin(async move {
            stop.run_until_cancelled(cache.synced()).await;
        })
    }
}

/// One name, another object: the delete in between was missed.
fn replaced(graph: &mut Graph, old: &Istr, new: &Istr) -> Vec<Work> {
    if old == new { Vec::new() } else { graph.remove(old) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::client::Config;
    use machinery::testing::{Fault, Proxy};
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// An API server that serves nothing but widgets, and those only while `served` is set.
    async fn api(served: &Arc<AtomicBool>) -> Proxy {
        let nobody = Config::explicit("http://127.0.0.1:1").unwrap();
        let proxy = Proxy::start(&nobody).await.unwrap();
        let served = served.clone();
        proxy.on_request(move |seen| {
            let served = served.load(Ordering::Relaxed);
            let answer = |code: u16, body: String| Fault::Answer {
                code,
                retry_after: None,
                body,
            };
            match (seen.path.as_str(), served) {
                ("/apis", true) => answer(
                    200,
                    json!({ "items": [{ "metadata": { "name": "example.com" }, "versions": [{ "version": "v1", "resources": [
                        { "resource": "widgets", "responseKind": { "kind": "Widget" }, "scope": "Namespaced", "verbs": ["delete", "list", "watch"] }] }] }] })
                    .to_string(),
                ),
                ("/api" | "/apis", _) => answer(200, json!({ "items": [] }).to_string()),
                (_, true) => Fault::Delay(Duration::from_secs(3600)),
                (_, false) => answer(404, "404 page not found".into()),
            }
        });
        proxy
    }

    fn asked(proxy: &Proxy) -> usize {
        let seen = proxy.seen();
        seen.iter().filter(|seen| seen.is_watch()).count()
    }

    async fn asks(proxy: &Proxy, more_than: usize) {
        let patience = tokio::time::timeout(Duration::from_secs(30), async {
            while asked(proxy) <= more_than {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        patience.await.expect("the kind is watched");
    }

    #[tokio::test]
    async fn a_kind_is_watched_while_it_is_served() {
        let served = Arc::new(AtomicBool::new(true));
        let proxy = api(&served).await;
        let client = Client::new(proxy.config(&Config::explicit("http://127.0.0.1:1").unwrap())).unwrap();
        let (stop, rediscover) = (CancellationToken::new(), Arc::new(Notify::new()));
        let mut watches = Watches::new(
            Arc::new(Caches::new(&client, &stop)),
            Arc::default(),
            Queue::new("test"),
            Arc::default(),
            rediscover.clone(),
            stop.clone(),
        );
        assert!(watches.refresh(&client).await.complete);
        asks(&proxy, 0).await;

        // It is gone before its first list came, and another watch of it is refused.
        served.store(false, Ordering::Relaxed);
        let (refused, before) = (stop.child_token(), asked(&proxy));
        let widgets = watches.running.keys().next().unwrap().clone();
        let _listed = watches.watch(&widgets, &refused);
        tokio::time::timeout(Duration::from_secs(30), rediscover.notified())
            .await
            .expect("whoever is refused asks what is served");
        assert!(asked(&proxy) > before);
        refused.cancel();
        let old = watches.running.values().next().unwrap().clone();
        assert!(watches.refresh(&client).await.complete && watches.is_empty() && old.is_cancelled());

        // It comes back.
        served.store(true, Ordering::Relaxed);
        let before = asked(&proxy);
        assert!(watches.refresh(&client).await.complete);
        asks(&proxy, before).await;
        stop.cancel();
    }
}
