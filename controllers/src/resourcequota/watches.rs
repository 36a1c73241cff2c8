//! Watches of the kinds that quotas limit, started when the first quota does.

use super::claim::Claim;
use super::measure::Kind;
use super::plan::Why;
use crate::caches::{BY_NAMESPACE, Caches};
use crate::garbagecollector::watches::Bare;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, Client};
use machinery::meta::resources::PERSISTENT_VOLUME_CLAIMS;
use machinery::meta::{Istr, Object, Resource};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long what is served is remembered before a kind that is not among it is asked for again.
pub const MEMORY: Duration = Duration::from_secs(30);

/// The objects of a kind other than pods and Services, which are watched anyway.
#[derive(Clone)]
pub enum Watch {
    Claims(Cache<Claim>),
    Others(Cache<Bare>),
}

#[derive(Clone)]
struct Running {
    watch: Watch,
    stop: CancellationToken,
}

#[derive(Default)]
struct Served {
    kinds: FxHashMap<Kind, Resource>,
    asked: Option<Instant>,
}

/// Called with the kind and the namespace of what has come or gone.
type Changed = dyn Fn(&Kind, &Istr, Why) + Send + Sync;

pub struct Watches {
    caches: Arc<Caches>,
    client: Client,
    stop: CancellationToken,
    changed: Arc<Changed>,
    running: Arc<Mutex<FxHashMap<Kind, Running>>>,
    served: Arc<tokio::sync::Mutex<Served>>,
}

fn namespace<K: Object>(object: &K) -> Vec<Istr> {
    vec![object.meta().namespace.clone()]
}

impl Watches {
    pub fn new(caches: Arc<Caches>, client: Client, stop: CancellationToken, changed: Arc<Changed>) -> Self {
        Self {
            caches,
            client,
            stop,
            changed,
            running: Arc::default(),
            served: Arc::default(),
        }
    }

    /// The watch of a kind, its first list complete; none for a kind that nobody serves.
    ///
    /// # Errors
    /// When the API server does not say what it serves.
    pub async fn of(&self, kind: &Kind) -> Result<Option<Watch>, ApiError> {
        let held = self.running.lock().get(kind).cloned();
        let Running { watch, stop } = match held {
            Some(running) => running,
            None => match self.resource(kind).await? {
                None => return Ok(None),
                Some(resource) => self.start(kind, &resource),
            },
        };
        let synced = async {
            match &watch {
                Watch::Claims(cache) => cache.synced().await,
                Watch::Others(cache) => cache.synced().await,
            }
        };
        Ok(stop.run_until_cancelled(synced).await.map(|()| watch.clone()))
    }

    /// Ends the watches of kinds that no quota limits any more.
    pub fn retain(&self, wanted: impl Fn(&Kind) -> bool) {
        self.running.lock().retain(|kind, running| {
            let keep = wanted(kind);
            if !keep {
                running.stop.cancel();
            }
            keep
        });
    }

    async fn resource(&self, kind: &Kind) -> Result<Option<Resource>, ApiError> {
        let mut served = self.served.lock().await;
        let known = served.kinds.get(kind).cloned();
        if known.is_some() || served.asked.is_some_and(|asked| asked.elapsed() < MEMORY) {
            return Ok(known);
        }
        let found = self.client.discover().await?;
        served.asked = Some(Instant::now());
        served.kinds = found
            .resources
            .into_iter()
            .filter(|found| {
                found.preferred
                    && found.resource.namespaced
                    && found.can(&["create", "delete", "list", "watch"])
            })
            .map(|found| {
                (
                    Kind::new(&found.resource.group, &found.resource.plural),
                    found.resource,
                )
            })
            .collect();
        Ok(served.kinds.get(kind).cloned())
    }

    /// What to do when nobody serves the kind any more: end its watch. Should it be served again, a quota asks for it.
    fn ended(&self, kind: &Kind) -> impl Fn() + Send + Sync + 'static {
        let (running, served, kind) = (self.running.clone(), self.served.clone(), kind.clone());
        move || {
            if let Some(ended) = running.lock().remove(&kind) {
                ended.stop.cancel();
            }
            // Where it is held, what is served is just being asked.
            if let Ok(mut served) = served.try_lock() {
                served.kinds.remove(&kind);
            }
        }
    }

    fn start(&self, kind: &Kind, resource: &Resource) -> Running {
        let mut all = self.running.lock();
        if let Some(running) = all.get(kind) {
            return running.clone(); // somebody else was faster
        }
        let stop = self.stop.child_token();
        let client = self.caches.client();
        let (changed, about) = (self.changed.clone(), kind.clone());
        let watch = if *resource == PERSISTENT_VOLUME_CLAIMS {
            let cache = Cache::builder(client, resource)
                .index(BY_NAMESPACE, namespace)
                .start(&stop);
            cache.subscribe(move |event: &Event<Claim>| match event {
                Event::Updated { old, new }
                    if old.storage() == new.storage()
                        && old.attribute_classes() == new.attribute_classes() => {}
                Event::Added(claim) => changed(&about, &claim.meta().namespace, Why::Came),
                _ => changed(&about, &event.object().meta().namespace, Why::Went),
            });
            Watch::Claims(cache)
        } else {
            let cache = Cache::builder(client, resource)
                .metadata_only()
                .index(BY_NAMESPACE, namespace)
                .unserved(self.ended(kind))
                .start(&stop);
            cache.subscribe(move |event: &Event<Bare>| match event {
                Event::Added(object) => changed(&about, &object.meta().namespace, Why::Came),
                Event::Updated { .. } => {}
                Event::Deleted(last) => changed(&about, &last.meta().namespace, Why::Went),
            });
            Watch::Others(cache)
        };
        let running = Running { watch, stop };
        all.insert(kind.clone(), running.clone());
        running
    }
}
