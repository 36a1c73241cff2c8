//! One watch of a kind that few nodes ever need: it begins with the first pod that uses it and ends with the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machinery::cache::Cache;
use machinery::meta::{Object, Resource};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Objects;

/// How long a volume may wait for the first list.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pods that use it, by uid, with what of it concerns them.
type Users<W> = Arc<Mutex<FxHashMap<Arc<str>, W>>>;

struct Running<K> {
    cache: Cache<K>,
    _stop: DropGuard,
}

/// A watch while there are users; `W` says what a user wants of it.
pub(super) struct SharedWatch<K, W> {
    objects: Arc<Objects>,
    resource: Resource,
    fields: Option<String>,
    /// Whether a user has to look again when this object has changed.
    concerns: fn(&str, &W, &K) -> bool,
    users: Users<W>,
    running: Mutex<Option<Running<K>>>,
}

impl<K: Object, W: Send + 'static> SharedWatch<K, W> {
    /// Users are told of changes through `objects`.
    pub(super) fn new(
        objects: &Arc<Objects>,
        resource: Resource,
        fields: Option<String>,
        concerns: fn(&str, &W, &K) -> bool,
    ) -> Self {
        Self {
            objects: Arc::clone(objects),
            resource,
            fields,
            concerns,
            users: Users::default(),
            running: Mutex::default(),
        }
    }

    /// What a pod wants from now on; `None`: nothing any more.
    pub(super) fn register(&self, uid: &Arc<str>, wants: Option<W>) {
        let mut running = self.running.lock();
        match wants {
            None => {
                let mut users = self.users.lock();
                if users.remove(uid).is_some() && users.is_empty() {
                    *running = None;
                }
            }
            Some(wants) => {
                self.users.lock().insert(Arc::clone(uid), wants);
                if running.is_none() {
                    *running = self.start();
                }
            }
        }
    }

    /// The objects once they are all known; `None` if that takes too long, or nobody uses them.
    pub(super) async fn objects(&self) -> Option<Cache<K>> {
        let cache = self
            .running
            .lock()
            .as_ref()
            .map(|running| running.cache.clone())?;
        let synced = tokio::time::timeout(PATIENCE, cache.synced()).await;
        synced.is_ok().then_some(cache)
    }

    fn start(&self) -> Option<Running<K>> {
        let client = self.objects.client()?;
        let stop = CancellationToken::new();
        let mut builder = Cache::builder(client, &self.resource);
        if let Some(fields) = &self.fields {
            builder = builder.fields(fields.clone());
        }
        let cache = builder.start(&stop);
        // Whoever waits for the first list is told once, when it is complete.
        let complete = Arc::new(AtomicBool::new(false));
        let (users, objects, known) = (
            Arc::clone(&self.users),
            Arc::clone(&self.objects),
            Arc::clone(&complete),
        );
        let concerns = self.concerns;
        cache.subscribe(move |event| {
            if known.load(Ordering::Relaxed) {
                for (uid, wants) in users.lock().iter() {
                    if concerns(uid, wants, event.object()) {
                        objects.tell_changed(uid);
                    }
                }
            }
        });
        let (users, objects) = (Arc::clone(&self.users), Arc::clone(&self.objects));
        let (token, synced) = (stop.clone(), cache.clone());
        tokio::spawn(async move {
            if token.run_until_cancelled(synced.synced()).await.is_some() {
                complete.store(true, Ordering::Relaxed);
                for uid in users.lock().keys() {
                    objects.tell_changed(uid);
                }
            }
        });
        Some(Running {
            cache,
            _stop: stop.drop_guard(),
        })
    }
}
