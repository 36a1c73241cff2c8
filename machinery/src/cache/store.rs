//! The store and its subscribers. No client and no clock: events go in by [`Cache::apply`] and friends.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use tokio::sync::watch;

use super::Builder;
use crate::client::Client;
use crate::meta::{Cached, Istr, ObjectKey, Resource};

/// What happened to an object.
#[derive(Debug)]
pub enum Event<K> {
    Added(Arc<K>),
    Updated {
        old: Arc<K>,
        new: Arc<K>,
    },
    /// The last state that is known of it: the final one, or, if the delete itself was missed, the one before.
    Deleted(Arc<K>),
}

impl<K> Event<K> {
    /// The object, in its newest known state.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Event::Added(object) | Event::Updated { new: object, .. } | Event::Deleted(object) => object,
        }
    }
}

// Not derived: K need not be Clone.
impl<K> Clone for Event<K> {
    fn clone(&self) -> Self {
        match self {
            Event::Added(object) => Event::Added(object.clone()),
            Event::Updated { old, new } => Event::Updated {
                old: old.clone(),
                new: new.clone(),
            },
            Event::Deleted(object) => Event::Deleted(object.clone()),
        }
    }
}

/// Names a subscription, to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionId(u64);

type Subscriber<K> = Box<dyn FnMut(&Event<K>) + Send>;
pub(super) type IndexBy<K> = Box<dyn Fn(&K) -> Vec<Istr> + Send + Sync>;

struct Index<K> {
    name: &'static str,
    by: IndexBy<K>,
    held: FxHashMap<Istr, FxHashMap<ObjectKey, Arc<K>>>,
}

impl<K: Cached> Index<K> {
    fn insert(&mut self, key: &ObjectKey, object: &Arc<K>) {
        for value in (self.by)(object) {
            self.held
                .entry(value)
                .or_default()
                .insert(key.clone(), object.clone());
        }
    }
    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.by)(object) {
            if let Some(bucket) = self.held.get_mut(&value) {
                bucket.remove(key);
                if bucket.is_empty() {
                    self.held.remove(&value);
                }
            }
        }
    }
}

struct Held<K> {
    objects: HashMap<ObjectKey, Arc<K>, FxBuildHasher>,
    indexes: Vec<Index<K>>,
}

struct Subscribers<K> {
    next: u64,
    all: Vec<(u64, Subscriber<K>)>,
}

struct Shared<K> {
    held: RwLock<Held<K>>,
    /// Held while an event is delivered, so that a late subscriber misses none and sees none twice.
    subscribers: Mutex<Subscribers<K>>,
    synced: watch::Sender<bool>,
}

/// The objects of one kind (and selector), kept up to date by a watch. Cheap to clone; all clones are one store.
///
/// Reads never wait for the network. Before [`synced`](Self::synced) the store may lack objects.
pub struct Cache<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Cache {
            shared: self.shared.clone(),
        }
    }
}

impl<K: Cached> Cache<K> {
    /// Describes a cache of all objects of `resource`; narrow it down, declare indexes, then `start` it.
    pub fn builder(client: &Client, resource: &Resource) -> Builder<K> {
        Builder::new(client, resource)
    }

    /// A cache that no watch feeds: for tests, by [`apply`](Self::apply), [`remove`](Self::remove) and
    /// [`mark_synced`](Self::mark_synced).
    pub fn detached(indexes: Vec<(&'static str, IndexBy<K>)>) -> Self {
        let indexes = indexes
            .into_iter()
            .map(|(name, by)| Index {
                name,
                by,
                held: HashMap::default(),
            })
            .collect();
        Cache {
            shared: Arc::new(Shared {
                held: RwLock::new(Held {
                    objects: HashMap::default(),
                    indexes,
                }),
                subscribers: Mutex::new(Subscribers {
                    next: 0,
                    all: Vec::new(),
                }),
                synced: watch::Sender::new(false),
            }),
        }
    }

    /// The object under `key`.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.shared.held.read().objects.get(key).cloned()
    }

    /// The object of this name; `namespace` is empty for cluster-scoped kinds.
    pub fn get_named(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&ObjectKey::new(namespace, name))
    }

    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.shared.held.read().objects.values().cloned().collect()
    }

    /// The objects that the index `name` files under `value`, in no order. Empty for an index that was not declared.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let held = self.shared.held.read();
        let index = held.indexes.iter().find(|index| index.name == name);
        debug_assert!(index.is_some(), "index {name} is not declared");
        index
            .and_then(|index| index.held.get(value))
            .map(|bucket| bucket.values().cloned().collect())
            .unwrap_or_default()
    }

    /// All values under which the index `name` files anything.
    pub fn index_values(&self, name: &str) -> Vec<Istr> {
        let held = self.shared.held.read();
        held.indexes
            .iter()
            .find(|index| index.name == name)
            .map(|index| index.held.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.shared.held.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `subscriber` with every event from now on, in order; what is held now arrives first, as added.
    ///
    /// It is called on the cache's own task: it should file the event away (add a key to a queue) and return. It may read
    /// this cache, which already shows the event, but must not subscribe to it.
    pub fn subscribe(&self, mut subscriber: impl FnMut(&Event<K>) + Send + 'static) -> SubscriptionId {
        let mut subscribers = self.shared.subscribers.lock();
        // No event is delivered while we hold the lock, and events change the store under the same lock.
        for object in self.list() {
            subscriber(&Event::Added(object));
        }
        subscribers.add(Box::new(subscriber))
    }

    /// As [`subscribe`](Self::subscribe), without what is held now: for a subscriber that reads the cache afterwards.
    pub fn subscribe_to_changes(&self, subscriber: impl FnMut(&Event<K>) + Send + 'static) -> SubscriptionId {
        self.shared.subscribers.lock().add(Box::new(subscriber))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        let dropped = {
            let mut subscribers = self.shared.subscribers.lock();
            subscribers
                .all
                .iter()
                .position(|(held, _)| *held == id.0)
                .map(|at| subscribers.all.remove(at))
        };
        drop(dropped);
    }

    /// Whether the first list is complete, and every subscriber has seen it.
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Stores `object` and tells the subscribers. The same resource version again is no event.
    pub fn apply(&self, object: K) {
        let object = Arc::new(object);
        let key = object.key();
        let mut subscribers = self.shared.subscribers.lock();
        let old = {
            let mut held = self.shared.held.write();
            if let Some(old) = held.objects.get(&key) {
                let version = object.resource_version();
                if old.uid() == object.uid() && old.resource_version() == version && !version.is_empty() {
                    return;
                }
            }
            let old = held.objects.insert(key.clone(), object.clone());
            for index in &mut held.indexes {
                if let Some(old) = &old {
                    index.remove(&key, old);
                }
                index.insert(&key, &object);
            }
            old
        };
        match old {
            None => subscribers.tell(&Event::Added(object)),
            // The delete in between was missed: another object has taken the name.
            Some(old) if old.uid() != object.uid() => {
                subscribers.tell(&Event::Deleted(old));
                subscribers.tell(&Event::Added(object));
            }
            Some(old) => subscribers.tell(&Event::Updated { old, new: object }),
        }
    }

    /// Forgets the object under `key` and tells the subscribers; `last` is its final state if that is known.
    pub fn remove(&self, key: &ObjectKey, last: Option<K>) {
        let mut subscribers = self.shared.subscribers.lock();
        let old = {
            let mut held = self.shared.held.write();
            let Some(old) = held.objects.remove(key) else {
                return;
            };
            for index in &mut held.indexes {
                index.remove(key, &old);
            }
            if held.objects.capacity() > 256 && held.objects.len() * 4 < held.objects.capacity() {
                held.objects.shrink_to_fit();
            }
            old
        };
        subscribers.tell(&Event::Deleted(last.map_or(old, Arc::new)));
    }

    /// Removes all but `seen`: what a relist did not find was deleted while nobody watched.
    pub(super) fn retain(&self, seen: &FxHashSet<ObjectKey>) {
        let gone: Vec<ObjectKey> = self
            .shared
            .held
            .read()
            .objects
            .keys()
            .filter(|key| !seen.contains(*key))
            .cloned()
            .collect();
        for key in gone {
            self.remove(&key, None);
        }
    }

    /// The first list is complete.
    pub fn mark_synced(&self) {
        self.shared
            .synced
            .send_if_modified(|synced| !std::mem::replace(synced, true));
    }
}

impl<K> Subscribers<K> {
    fn add(&mut self, subscriber: Subscriber<K>) -> SubscriptionId {
        self.next += 1;
        self.all.push((self.next, subscriber));
        SubscriptionId(self.next)
    }

    fn tell(&mut self, event: &Event<K>) {
        for (_, subscriber) in &mut self.all {
            subscriber(event);
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
