//! `leader_election_*`, with upstream's names.

use std::sync::LazyLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

/// The metrics of all elections; clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    master: Family<Name, Gauge>,
    slow_path: Family<Name, Counter>,
}

impl Metrics {
    /// Where elections count: the process's registry shows it.
    pub fn global() -> &'static Metrics {
        static GLOBAL: LazyLock<Metrics> = LazyLock::new(|| {
            let metrics = Metrics::default();
            crate::metrics::with_registry(|registry| metrics.register(registry));
            metrics
        });
        &GLOBAL
    }

    /// Shows these metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "leader_election_master_status",
            "Whether the reporting system is master of the relevant lease: 0 indicates backup, 1 indicates master",
            self.master.clone(),
        );
        registry.register(
            "leader_election_slowpath",
            "Total number of slow path exercised in renewing leader leases",
            self.slow_path.clone(),
        );
    }

    pub(super) fn leads(&self, name: &str, leads: bool) {
        self.master
            .get_or_create(&Name {
                name: name.to_owned(),
            })
            .set(leads.into());
    }

    pub(super) fn slow_path(&self, name: &str) {
        self.slow_path
            .get_or_create(&Name {
                name: name.to_owned(),
            })
            .inc();
    }
}
