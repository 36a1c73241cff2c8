//! Claims, volumes and storage classes, and which claims pods on nodes use.

use std::sync::Arc;

use machinery::meta::{Istr, ObjectKey};
use rustc_hash::FxHashMap;

use crate::api::storage::{StorageClass, Volume, VolumeClaim};

/// What is known of storage.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: FxHashMap<ObjectKey, Arc<VolumeClaim>>,
    volumes: FxHashMap<Istr, Arc<Volume>>,
    classes: FxHashMap<Istr, Arc<StorageClass>>,
    users: FxHashMap<ObjectKey, u32>,
}

impl Volumes {
    pub fn claim(&self, key: &ObjectKey) -> Option<&Arc<VolumeClaim>> {
        self.claims.get(key)
    }

    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    pub fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.get(name)
    }

    /// How many pods on nodes use the claim.
    pub fn users(&self, key: &ObjectKey) -> u32 {
        self.users.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn set_claim(&mut self, key: &ObjectKey, claim: Option<Arc<VolumeClaim>>) {
        set(&mut self.claims, key, claim);
    }

    pub(crate) fn set_volume(&mut self, name: &Istr, volume: Option<Arc<Volume>>) {
        set(&mut self.volumes, name, volume);
    }

    pub(crate) fn set_class(&mut self, name: &Istr, class: Option<Arc<StorageClass>>) {
        set(&mut self.classes, name, class);
    }

    pub(super) fn use_claim(&mut self, key: &ObjectKey, sign: i64) {
        let users = self.users.entry(key.clone()).or_default();
        *users = users.saturating_add_signed(sign as i32);
        if *users == 0 {
            self.users.remove(key);
        }
    }
}

fn set<K: Clone + Eq + std::hash::Hash, V>(map: &mut FxHashMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}
