use super::family::{Change, FamilySync};
use super::node::interface_addresses;
use super::pace::{back_off, distance};
use super::pending::{Changes, Pending};
use super::watch::Watches;
use crate::config::Config;
use crate::conntrack::{Stale, Sweeper};
use crate::health::{self, ServicePorts};
use crate::metrics::{Metrics, of};
use crate::model::{Family, NodeFacts, ServiceName, local_ready, resolve};
use crate::nft::{CommitError, Kernel, Settings};
use jiff::Timestamp;
use rustc_hash::FxHashSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The kernel's table is checked by making it anew this often, as upstream does.
const FULL_EVERY: Duration = Duration::from_secs(3600);
/// Kernels before 6.2 need a moment until a chain can be deleted.
const REAP_AFTER: Duration = Duration::from_millis(1100);

/// The sync task's state.
pub struct Proxier {
    config: Config,
    node_name: String,
    watches: Watches,
    pending: Pending,
    health: health::Shared,
    metrics: Metrics,
    kernel: Kernel,
    sweeper: Option<Sweeper>,
    families: Vec<FamilySync>,
    facts: NodeFacts,
    node_ips: Vec<IpAddr>,
    failures: u32,
}

impl Proxier {
    /// Opens the kernel's nf_tables in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When there is none or it may not be used.
    pub fn new(
        config: Config,
        node_name: String,
        families: &[Family],
        watches: Watches,
        health: health::Shared,
        metrics: Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, CommitError> {
        let pending = Pending::new(&metrics, &health, families);
        let sync = |family: &Family| {
            let ports = ServicePorts::new(*family, health.clone(), stop);
            FamilySync::new(Settings::new(*family), ports, &metrics)
        };
        Ok(Self {
            facts: NodeFacts {
                name: node_name.as_str().into(),
                zone: None,
            },
            families: families.iter().map(sync).collect(),
            kernel: Kernel::open()?,
            sweeper: Sweeper::open()
                .inspect_err(|error| tracing::warn!(%error, "stale UDP flows stay"))
                .ok(),
            node_ips: Vec::new(),
            failures: 0,
            config,
            node_name,
            watches,
            pending,
            health,
            metrics,
        })
    }

    /// Keeps the kernel in step with the cluster until `stop`. The rules stay when it ends.
    pub async fn run(mut self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.watches.synced()).await.is_none() {
            return;
        }
        self.watches.subscribe(&self.pending);
        let _ = self.pending.take();
        let mut next_full = Instant::now();
        let mut next_reap: Option<Instant> = None;
        loop {
            let start = Instant::now();
            let mut changes = self.pending.take();
            if start >= next_full || self.failures > 0 {
                next_full = start + FULL_EVERY;
                self.everything(&mut changes);
            }
            let well = self.sync(&changes);
            let wait = if well {
                distance(start.elapsed(), self.config.min_sync_period)
            } else {
                back_off(self.failures, self.config.sync_period)
            };
            if next_reap.is_some_and(|at| start >= at) {
                next_reap = None;
                self.families
                    .iter_mut()
                    .for_each(|family| family.reap(&mut self.kernel));
            }
            if next_reap.is_none() && self.families.iter().any(FamilySync::has_stale_chains) {
                next_reap = Some(Instant::now() + REAP_AFTER);
            }
            let waiting = async {
                tokio::time::sleep(wait).await;
                if well {
                    let timer = next_reap.map_or(next_full, |reap| reap.min(next_full));
                    let _ = tokio::time::timeout_at(timer, self.pending.ready()).await;
                }
            };
            if stop.run_until_cancelled(waiting).await.is_none() {
                return;
            }
        }
    }

    /// Marks all there is, in the cluster and in the tables, and makes the tables anew.
    fn everything(&mut self, changes: &mut Changes) {
        changes.surroundings = true;
        changes
            .services
            .extend(self.watches.services().iter().map(|service| service.name.clone()));
        for family in &mut self.families {
            changes.services.extend(family.services().cloned());
            family.forget();
        }
    }

    /// Brings the changes to the kernel; false when some family's transaction was refused.
    fn sync(&mut self, changes: &Changes) -> bool {
        let mut services: Option<FxHashSet<ServiceName>> = None;
        if changes.surroundings && self.observe_node() {
            // Topology decides about the endpoints of every Service.
            services = Some(
                self.watches
                    .services()
                    .iter()
                    .map(|service| service.name.clone())
                    .collect(),
            );
        }
        let services = services.as_ref().unwrap_or(&changes.services);
        let mut well = true;
        let mut families = std::mem::take(&mut self.families);
        for tables in &mut families {
            let family = tables.family();
            // One after the other: the routes of all Services need not be there twice.
            let (watches, facts) = (&self.watches, &self.facts);
            let changed = services.iter().map(|name| change(watches, facts, name, family));
            match tables.sync(&mut self.kernel, changed) {
                Ok(stale) => {
                    self.sweep(family, &stale);
                    self.done(family, changes);
                }
                Err(error) => {
                    well = false;
                    tracing::error!(%family, %error, "bringing Services to the kernel; trying again");
                }
            }
        }
        self.families = families;
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
        well
    }

    /// Takes over what the Node and the ranges of ClusterIPs say. True when every Service is to be resolved again.
    fn observe_node(&mut self) -> bool {
        let node = self.watches.node();
        self.health
            .lock()
            .set_node_eligible(node.as_ref().is_some_and(|n| n.is_eligible()));
        let zone = node.as_ref().and_then(|n| n.zone());
        let moved = zone != self.facts.zone;
        self.facts.zone = zone;
        let pod_cidrs = node.as_ref().map(|n| n.pod_cidrs()).unwrap_or_default();
        // An object that is gone, or has no addresses for a moment, does not take ours away.
        let of_object = node.as_ref().map(|n| n.host_ips()).unwrap_or_default();
        let node_ips = self.config.node_ips(&of_object);
        if !node_ips.is_empty() && node_ips != self.node_ips {
            tracing::info!(node = self.node_name, ?node_ips, "this node's addresses");
            self.node_ips = node_ips;
        }
        let interfaces = interface_addresses();
        let cidrs = self.watches.service_cidrs();
        for family in &mut self.families {
            let settings =
                self.config
                    .settings(family.family(), &self.node_ips, &pod_cidrs, &cidrs, &interfaces);
            family.set_settings(settings);
        }
        moved
    }

    fn sweep(&mut self, family: Family, stale: &Stale) {
        let Some(sweeper) = self.sweeper.as_mut().filter(|_| !stale.is_empty()) else {
            return;
        };
        let start = Instant::now();
        match sweeper.sweep(family, stale) {
            Ok(deleted) => {
                self.metrics
                    .conntrack_deleted
                    .get_or_create(&of(family))
                    .inc_by(deleted as u64);
                tracing::debug!(%family, deleted, "stale UDP flows");
            }
            Err(error) => tracing::warn!(%error, "some UDP flows may still lead to endpoints that are gone"),
        }
        self.metrics
            .conntrack_sweep
            .get_or_create(&of(family))
            .observe(start.elapsed().as_secs_f64());
    }

    fn done(&self, family: Family, changes: &Changes) {
        let now = Timestamp::now();
        self.health.lock().updated(family, now);
        for trigger in &changes.triggers {
            let latency = now.duration_since(*trigger).as_secs_f64();
            self.metrics
                .programming
                .get_or_create(&of(family))
                .observe(latency.max(0.0));
        }
    }
}

/// What a Service asks for in this family.
fn change(watches: &Watches, facts: &NodeFacts, name: &ServiceName, family: Family) -> Change {
    let mut change = Change {
        service: name.clone(),
        routes: Vec::new(),
        health: None,
    };
    if let Some(service) = watches.service(name) {
        let slices = watches.slices(name);
        change.routes = resolve(&service, &slices, facts, family);
        change.health = service
            .health_check_port()
            .filter(|_| !change.routes.is_empty())
            .map(|port| (port, local_ready(&slices, facts, family)));
    }
    change
}
