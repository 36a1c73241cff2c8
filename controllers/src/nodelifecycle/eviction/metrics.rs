//! Counters under upstream's names.

use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::LazyLock;

/// What the taint eviction controller counts.
pub struct Metrics {
    pub deletions: Counter,
    pub latency: Histogram,
}

/// The process's.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    deletions: register(
        "taint_eviction_controller_pod_deletions",
        "Total number of Pods deleted by TaintEvictionController since its start",
        Counter::default(),
    ),
    latency: register(
        "taint_eviction_controller_pod_deletion_duration_seconds",
        "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController",
        Histogram::new([
            0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0,
        ]),
    ),
});
