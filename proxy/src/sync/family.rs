use super::pending::seconds;
use crate::conntrack::Stale;
use crate::health::ServicePorts;
use crate::metrics::{Metrics, of};
use crate::model::{Family, PortRoute, ServiceName};
use crate::nft::{Batch, CommitError, Kernel, NodePortAddresses, Settings, Table};
use jiff::Timestamp;
use std::net::IpAddr;
use std::time::Instant;

/// One family's table and what hangs on it.
pub struct FamilySync {
    family: Family,
    table: Table,
    ports: ServicePorts,
    metrics: Metrics,
    /// The kernel's table is unknown: the next transaction makes it anew.
    unknown: bool,
    /// Ports under the policy `Local` without endpoints here: for internal and for external traffic.
    without_local: (i64, i64),
}

/// The new routes of one Service and what its health check port should say.
pub struct Change {
    pub service: ServiceName,
    pub routes: Vec<PortRoute>,
    pub health: Option<(u16, usize)>,
}

impl FamilySync {
    pub fn new(settings: Settings, ports: ServicePorts, metrics: &Metrics) -> Self {
        Self {
            family: settings.family,
            table: Table::new(settings),
            ports,
            metrics: metrics.clone(),
            unknown: true,
            without_local: (0, 0),
        }
    }

    pub fn family(&self) -> Family {
        self.family
    }

    /// Other settings mean a table made anew.
    pub fn set_settings(&mut self, settings: Settings) {
        if *self.table.settings() != settings {
            if !self.unknown {
                tracing::info!(family = %self.family, ?settings, "the node or the cluster changed: making the table anew");
            }
            self.table.set_settings(settings);
            self.unknown = true;
        }
    }

    /// The next transaction makes the table anew.
    pub fn forget(&mut self) {
        self.unknown = true;
    }

    pub fn has_stale_chains(&self) -> bool {
        self.table.has_stale()
    }

    /// Names of the Services that have routes here.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.table.services().map(|(name, _)| name)
    }

    /// Brings the changes to the kernel, and says which UDP flows they may have made stale.
    ///
    /// # Errors
    /// When the kernel refuses. The changes are kept: the next call makes the table anew, with them.
    pub fn sync(
        &mut self,
        kernel: &mut Kernel,
        changes: impl Iterator<Item = Change>,
    ) -> Result<Stale, CommitError> {
        let start = Instant::now();
        let mut stale = Stale::default();
        let full = self.unknown;
        let mut routes = Vec::new();
        let addresses = self.health_addresses();
        for change in changes {
            let before = self.table.routes(&change.service);
            stale.add(before, &change.routes);
            let (old, new) = (without_local(before), without_local(&change.routes));
            self.without_local.0 += new.0 - old.0;
            self.without_local.1 += new.1 - old.1;
            if let Err(error) = self.ports.set(&change.service, change.health, &addresses) {
                tracing::error!(service = %change.service, port = ?change.health.map(|h| h.0), %error, "listening for health checks of a Service");
            }
            if full {
                self.table.load(change.service, change.routes);
            } else {
                routes.push((change.service, change.routes));
            }
        }
        let batch = if full {
            let remembered = kernel.affinity_entries(self.family)?;
            Some(self.table.rebuild(&remembered))
        } else {
            self.table.update(routes)
        };
        self.unknown = true;
        if let Some(batch) = batch {
            self.commit(kernel, batch)?;
        }
        self.unknown = false;
        self.observe(full, start);
        Ok(stale)
    }

    /// Deletes chains that nothing leads to any more.
    pub fn reap(&mut self, kernel: &mut Kernel) {
        let Some(batch) = self.table.reap() else { return };
        if let Err(error) = kernel.commit(batch) {
            tracing::warn!(family = %self.family, %error, "deleting chains that are not used any more");
            self.metrics
                .cleanup_failures
                .get_or_create(&of(self.family))
                .inc();
            self.unknown = true;
        }
    }

    fn commit(&self, kernel: &mut Kernel, batch: Batch) -> Result<(), CommitError> {
        let labels = of(self.family);
        self.metrics
            .transaction_changes
            .get_or_create(&labels)
            .set(batch.changes() as i64);
        self.metrics
            .transaction_bytes
            .get_or_create(&labels)
            .set(batch.len() as i64);
        kernel.commit(batch).inspect_err(|_| {
            self.metrics.sync_failures.get_or_create(&labels).inc();
        })
    }

    fn observe(&self, full: bool, start: Instant) {
        let labels = of(self.family);
        let took = start.elapsed();
        let kind = if full {
            &self.metrics.full_sync
        } else {
            &self.metrics.partial_sync
        };
        kind.get_or_create(&labels).observe(took.as_secs_f64());
        self.metrics
            .sync
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        self.metrics
            .last_sync
            .get_or_create(&labels)
            .set(seconds(Timestamp::now()));
        for (policy, count) in [
            ("internal", self.without_local.0),
            ("external", self.without_local.1),
        ] {
            let mut labels = labels.clone();
            labels.insert(0, ("traffic_policy", policy.to_owned()));
            self.metrics.no_local_endpoints.get_or_create(&labels).set(count);
        }
        tracing::debug!(family = %self.family, full, ?took, "synced");
    }

    fn health_addresses(&self) -> Vec<IpAddr> {
        match &self.table.settings().node_port_addresses {
            NodePortAddresses::All => Vec::new(),
            NodePortAddresses::Only(ips) => ips.clone(),
        }
    }
}

/// How many ports have endpoints, but none that internal or external traffic may use here.
fn without_local(routes: &[PortRoute]) -> (i64, i64) {
    let count = |usable: fn(&PortRoute) -> bool| {
        routes.iter().filter(|r| r.has_endpoints && !usable(r)).count() as i64
    };
    (
        count(PortRoute::has_internal_endpoints),
        count(PortRoute::has_external_endpoints),
    )
}
