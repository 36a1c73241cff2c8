//! Counters under upstream's names.

use super::pool::Pool;
use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

type Cluster = [(&'static str, String); 1];

/// What the node IPAM controller counts.
pub struct Metrics {
    allocations: Family<Cluster, Counter>,
    releases: Family<Cluster, Counter>,
    most: Family<Cluster, Gauge>,
    usage: Family<Cluster, Gauge<f64, AtomicU64>>,
}

/// The process's.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    allocations: register(
        "node_ipam_controller_cidrset_cidrs_allocations",
        "Counter measuring total number of CIDR allocations",
        Family::default(),
    ),
    releases: register(
        "node_ipam_controller_cidrset_cidrs_releases",
        "Counter measuring total number of CIDR releases",
        Family::default(),
    ),
    // The letters are upstream's.
    most: register(
        "node_ipam_controller_cirdset_max_cidrs",
        "Maximum number of CIDRs that can be allocated",
        Family::default(),
    ),
    usage: register(
        "node_ipam_controller_cidrset_usage_cidrs",
        "Gauge measuring percentage of allocated CIDRs",
        Family::default(),
    ),
});

impl Metrics {
    /// Shows how full a pool is, in which as many ranges as `before` were taken at the last look.
    pub fn show(&self, pool: &Pool, before: usize) {
        let label = [("clusterCIDR", pool.cluster().to_string())];
        let (taken, count) = pool.usage();
        self.most
            .get_or_create(&label)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        #[allow(clippy::cast_precision_loss)] // ranges are fewer than 2^52
        self.usage
            .get_or_create(&label)
            .set(taken as f64 / count.max(1) as f64);
        self.allocations
            .get_or_create(&label)
            .inc_by(taken.saturating_sub(before) as u64);
        self.releases
            .get_or_create(&label)
            .inc_by(before.saturating_sub(taken) as u64);
    }
}
