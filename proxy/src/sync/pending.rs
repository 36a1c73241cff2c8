use crate::health;
use crate::metrics::{Metrics, of};
use crate::model::{Family, ServiceName};
use jiff::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// What changed since the last sync: names alone, the caches have the rest.
#[derive(Clone)]
pub struct Pending {
    inner: Arc<Inner>,
}

struct Inner {
    changes: Mutex<Changes>,
    notify: Notify,
    metrics: Metrics,
    health: health::Shared,
    families: Vec<Family>,
}

/// One round's worth of changes.
#[derive(Debug, Default)]
pub struct Changes {
    pub services: FxHashSet<ServiceName>,
    /// The Node, or the ranges of ClusterIPs: things that all of the table may depend on.
    pub surroundings: bool,
    /// When the changes behind the EndpointSlices happened, as their controller tells.
    pub triggers: Vec<Timestamp>,
}

impl Pending {
    pub fn new(metrics: &Metrics, health: &health::Shared, families: &[Family]) -> Self {
        let inner = Inner {
            changes: Mutex::default(),
            notify: Notify::new(),
            metrics: metrics.clone(),
            health: health.clone(),
            families: families.to_vec(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn service(&self, service: ServiceName) {
        self.inner.metrics.service_changes.inc();
        let mut changes = self.inner.changes.lock();
        changes.services.insert(service);
        self.inner
            .metrics
            .service_changes_pending
            .set(changes.services.len() as i64);
        drop(changes);
        self.wake();
    }

    pub fn endpoints(&self, service: ServiceName, trigger: Option<Timestamp>) {
        self.inner.metrics.endpoint_changes.inc();
        let mut changes = self.inner.changes.lock();
        changes.services.insert(service);
        changes.triggers.extend(trigger);
        self.inner
            .metrics
            .endpoint_changes_pending
            .set(changes.services.len() as i64);
        drop(changes);
        self.wake();
    }

    pub fn surroundings(&self) {
        self.inner.changes.lock().surroundings = true;
        self.wake();
    }

    /// Takes what has gathered.
    pub fn take(&self) -> Changes {
        self.inner.metrics.service_changes_pending.set(0);
        self.inner.metrics.endpoint_changes_pending.set(0);
        std::mem::take(&mut *self.inner.changes.lock())
    }

    /// Waits until something is there to take.
    pub async fn ready(&self) {
        self.inner.notify.notified().await;
    }

    fn wake(&self) {
        let now = Timestamp::now();
        let mut health = self.inner.health.lock();
        for family in &self.inner.families {
            health.queued(*family, now);
            self.inner
                .metrics
                .last_queued
                .get_or_create(&of(*family))
                .set(seconds(now));
        }
        drop(health);
        self.inner.notify.notify_one();
    }
}

/// Unix time with its fraction, as metrics have it.
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
