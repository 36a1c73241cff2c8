//! Upstream's metrics, and a few of our own.

use crate::model::Family;
use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::atomic::AtomicU64;

/// Label names and values.
pub type Labels = Vec<(&'static str, String)>;
type Counters = Labelled<Labels, Counter>;
type Gauges = Labelled<Labels, Gauge>;
type Times = Labelled<Labels, Gauge<f64, AtomicU64>>;
type Histograms = Labelled<Labels, Histogram, fn() -> Histogram>;

/// All of the proxy's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub sync: Histograms,
    pub full_sync: Histograms,
    pub partial_sync: Histograms,
    pub last_sync: Times,
    pub last_queued: Times,
    pub programming: Histograms,
    pub endpoint_changes_pending: Gauge,
    pub endpoint_changes: Counter,
    pub service_changes_pending: Gauge,
    pub service_changes: Counter,
    pub sync_failures: Counters,
    pub cleanup_failures: Counters,
    pub healthz: Counters,
    pub livez: Counters,
    pub no_local_endpoints: Gauges,
    pub conntrack_sweep: Histograms,
    pub conntrack_deleted: Counters,
    /// Objects and elements that the last transaction named, and its bytes.
    pub transaction_changes: Gauges,
    pub transaction_bytes: Gauges,
}

/// The label of a family.
pub fn of(family: Family) -> Labels {
    vec![("ip_family", family.as_str().to_owned())]
}

fn short() -> Histogram {
    // Upstream's 1 ms to 16 s, and what we need below.
    Histogram::new(
        [0.000_1, 0.000_2, 0.000_5]
            .into_iter()
            .chain(exponential_buckets(0.001, 2.0, 15)),
    )
}

fn long() -> Histogram {
    let seconds = (1..60).map(f64::from);
    let more = (60..120).step_by(5).chain((120..=300).step_by(30)).map(f64::from);
    Histogram::new(
        [0.001, 0.005, 0.025, 0.1, 0.25, 0.5]
            .into_iter()
            .chain(seconds)
            .chain(more),
    )
}

fn histograms(name: &str, help: &str, make: fn() -> Histogram) -> Histograms {
    register(
        &format!("kubeproxy_{name}"),
        help,
        Labelled::new_with_constructor(make),
    )
}

impl Metrics {
    /// Makes and registers them; once in a process.
    pub fn register() -> Self {
        let name = |rest: &str| format!("kubeproxy_{rest}");
        Self {
            sync: histograms(
                "sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
                short,
            ),
            full_sync: histograms(
                "sync_full_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for full resyncs",
                short,
            ),
            partial_sync: histograms(
                "sync_partial_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for partial resyncs",
                short,
            ),
            last_sync: register(
                &name("sync_proxy_rules_last_timestamp_seconds"),
                "The last time proxy rules were successfully synced",
                Times::default(),
            ),
            last_queued: register(
                &name("sync_proxy_rules_last_queued_timestamp_seconds"),
                "The last time a sync of proxy rules was queued",
                Times::default(),
            ),
            programming: histograms(
                "network_programming_duration_seconds",
                "In Cluster Network Programming Latency in seconds",
                long,
            ),
            endpoint_changes_pending: register(
                &name("sync_proxy_rules_endpoint_changes_pending"),
                "Pending proxy rules Endpoint changes",
                Gauge::default(),
            ),
            endpoint_changes: register(
                &name("sync_proxy_rules_endpoint_changes"),
                "Cumulative proxy rules Endpoint changes",
                Counter::default(),
            ),
            service_changes_pending: register(
                &name("sync_proxy_rules_service_changes_pending"),
                "Pending proxy rules Service changes",
                Gauge::default(),
            ),
            service_changes: register(
                &name("sync_proxy_rules_service_changes"),
                "Cumulative proxy rules Service changes",
                Counter::default(),
            ),
            sync_failures: register(
                &name("sync_proxy_rules_nftables_sync_failures"),
                "Cumulative proxy nftables sync failures",
                Counters::default(),
            ),
            cleanup_failures: register(
                &name("sync_proxy_rules_nftables_cleanup_failures"),
                "Cumulative proxy nftables cleanup failures",
                Counters::default(),
            ),
            healthz: register(
                &name("proxy_healthz"),
                "Cumulative proxy healthz HTTP status",
                Counters::default(),
            ),
            livez: register(
                &name("proxy_livez"),
                "Cumulative proxy livez HTTP status",
                Counters::default(),
            ),
            no_local_endpoints: register(
                &name("sync_proxy_rules_no_local_endpoints_total"),
                "Number of services with a Local traffic policy and no endpoints",
                Gauges::default(),
            ),
            conntrack_sweep: histograms(
                "conntrack_reconciler_sync_duration_seconds",
                "ReconcileConntrackFlowsLatency latency in seconds",
                short,
            ),
            conntrack_deleted: register(
                &name("conntrack_reconciler_deleted_entries"),
                "Cumulative conntrack flows deleted by conntrack reconciler",
                Counters::default(),
            ),
            transaction_changes: register(
                "steersman_proxy_transaction_changes",
                "Objects and elements that the last transaction named",
                Gauges::default(),
            ),
            transaction_bytes: register(
                "steersman_proxy_transaction_bytes",
                "Bytes of the last transaction",
                Gauges::default(),
            ),
        }
    }
}
