//! Counters under upstream's names.

use super::zones::Zones;
use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

type Zone = [(&'static str, String); 1];

/// What the node lifecycle controller counts.
pub struct Metrics {
    size: Family<Zone, Gauge>,
    health: Family<Zone, Gauge<f64, AtomicU64>>,
    unhealthy: Family<Zone, Gauge>,
    evictions: Family<Zone, Counter>,
    pub one: Histogram,
    pub all: Histogram,
}

/// The process's.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    size: register(
        "node_collector_zone_size",
        "Gauge measuring number of registered Nodes per zones",
        Family::default(),
    ),
    health: register(
        "node_collector_zone_health",
        "Gauge measuring percentage of healthy nodes per zone",
        Family::default(),
    ),
    unhealthy: register(
        "node_collector_unhealthy_nodes_in_zone",
        "Gauge measuring number of not Ready Nodes per zones",
        Family::default(),
    ),
    evictions: register(
        "node_collector_evictions",
        "Number of Node evictions that happened since current instance of NodeController started",
        Family::default(),
    ),
    one: register(
        "node_collector_update_node_health_duration_seconds",
        "Duration in seconds for NodeController to update the health of a single node",
        Histogram::new(exponential_buckets(0.001, 4.0, 8)),
    ),
    all: register(
        "node_collector_update_all_nodes_health_duration_seconds",
        "Duration in seconds for NodeController to update the health of all nodes",
        Histogram::new(exponential_buckets(0.01, 4.0, 8)),
    ),
});

fn label(zone: &str) -> Zone {
    [("zone", zone.to_owned())]
}

impl Metrics {
    /// Shows how the zones are.
    pub fn show(&self, zones: &Zones) {
        for (zone, size, not_ready) in zones.sizes() {
            let label = label(zone);
            drop(self.evictions.get_or_create(&label)); // shown from the start
            self.size
                .get_or_create(&label)
                .set(i64::try_from(size).unwrap_or(i64::MAX));
            self.unhealthy
                .get_or_create(&label)
                .set(i64::try_from(not_ready).unwrap_or(i64::MAX));
            #[allow(clippy::cast_precision_loss)] // nodes of a zone are fewer than 2^52
            let health = if size == 0 {
                100.0
            } else {
                100.0 * (size - not_ready) as f64 / size as f64
            };
            self.health.get_or_create(&label).set(health);
        }
    }

    /// A node was tainted so that its pods leave.
    pub fn evicted(&self, zone: &str) {
        self.evictions.get_or_create(&label(zone)).inc();
    }
}
