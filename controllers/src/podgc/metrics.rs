//! Counters under upstream's names.

use super::plan::Why;
use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::sync::LazyLock;

type Labels = [(&'static str, String); 2];

/// What the pod garbage collector counts.
pub struct Metrics {
    deleted: Family<Labels, Counter>,
    failed: Family<Labels, Counter>,
}

/// The process's.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    deleted: register(
        "pod_gc_collector_force_delete_pods",
        "Number of pods that are being forcefully deleted since the Pod GC Controller started",
        Family::default(),
    ),
    failed: register(
        "pod_gc_collector_force_delete_pod_errors",
        "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started",
        Family::default(),
    ),
});

impl Metrics {
    /// A pod was deleted, or could not be.
    pub fn count(&self, namespace: &str, why: Why, failed: bool) {
        let labels = [
            ("namespace", namespace.to_owned()),
            ("reason", why.as_str().to_owned()),
        ];
        self.deleted.get_or_create(&labels).inc();
        if failed {
            self.failed.get_or_create(&labels).inc();
        }
    }
}
