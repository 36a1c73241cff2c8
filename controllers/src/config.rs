//! What the flags settle.

use machinery::component::flags::{FlagError, Flags};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The settings that controllers and the manager read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    pub kubeconfig: Option<PathBuf>,
    pub master: Option<String>,
    pub controllers: Vec<String>,
    pub kube_api_qps: Option<f32>,
    pub kube_api_burst: Option<u32>,
    pub use_service_account_credentials: bool,
    pub controller_shutdown_timeout: Duration,
    pub leader_election: LeaderElection,

    pub concurrent_deployment_syncs: usize,
    pub concurrent_replicaset_syncs: usize,
    pub concurrent_resource_quota_syncs: usize,
    pub resource_quota_sync_period: Duration,
    pub concurrent_rc_syncs: usize,
    pub concurrent_ttl_after_finished_syncs: usize,
    pub concurrent_cron_job_syncs: usize,
    pub concurrent_job_syncs: usize,
    pub concurrent_service_endpoint_syncs: usize,
    pub concurrent_endpoint_syncs: usize,
    pub concurrent_gc_syncs: usize,
    pub concurrent_namespace_syncs: usize,
    pub concurrent_daemonset_syncs: usize,
    pub concurrent_statefulset_syncs: usize,
    pub max_endpoints_per_slice: usize,
    pub endpointslice_updates_batch_period: Duration,
    pub endpoint_updates_batch_period: Duration,
    pub enable_garbage_collector: bool,
    pub terminated_pod_gc_threshold: usize,
    pub root_ca_file: Option<PathBuf>,
    /// The key that signs tokens in Secrets.
    pub service_account_private_key_file: Option<PathBuf>,
    pub node_lifecycle: NodeLifecycle,
    pub node_ipam: NodeIpam,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderElection {
    pub leader_elect: bool,
    pub resource_name: String,
    pub resource_namespace: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLifecycle {
    pub monitor_period: Duration,
    pub monitor_grace_period: Duration,
    pub startup_grace_period: Duration,
    pub eviction_rate: f64,
    pub secondary_eviction_rate: f64,
    pub unhealthy_zone_threshold: f64,
    pub large_cluster_size_threshold: usize,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeIpam {
    pub allocate_node_cidrs: bool,
    pub cluster_cidrs: Vec<String>,
    pub service_cidrs: Vec<String>,
    pub allocator: String,
    pub mask_size: Option<u8>,
    pub mask_size_ipv4: Option<u8>,
    pub mask_size_ipv6: Option<u8>,
}

impl Default for NodeLifecycle {
    fn default() -> Self {
        Self {
            monitor_period: Duration::from_secs(5),
            monitor_grace_period: Duration::from_secs(50),
            startup_grace_period: Duration::from_secs(60),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            unhealthy_zone_threshold: 0.55,
            large_cluster_size_threshold: 50,
        }
    }
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            resource_name: "kube-controller-manager".into(),
            resource_namespace: "kube-system".into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            master: None,
            controllers: vec!["*".into()],
            kube_api_qps: None,
            kube_api_burst: None,
            use_service_account_credentials: false,
            controller_shutdown_timeout: Duration::from_secs(10),
            leader_election: LeaderElection::default(),
            concurrent_deployment_syncs: 5,
            concurrent_replicaset_syncs: 5,
            concurrent_resource_quota_syncs: 5,
            resource_quota_sync_period: Duration::from_secs(300),
            concurrent_rc_syncs: 5,
            concurrent_ttl_after_finished_syncs: 5,
            concurrent_cron_job_syncs: 5,
            concurrent_job_syncs: 5,
            concurrent_service_endpoint_syncs: 5,
            concurrent_endpoint_syncs: 5,
            concurrent_gc_syncs: 20,
            concurrent_namespace_syncs: 10,
            concurrent_daemonset_syncs: 2,
            concurrent_statefulset_syncs: 5,
            max_endpoints_per_slice: 100,
            endpointslice_updates_batch_period: Duration::ZERO,
            endpoint_updates_batch_period: Duration::ZERO,
            enable_garbage_collector: true,
            terminated_pod_gc_threshold: 12_500,
            root_ca_file: None,
            service_account_private_key_file: None,
            node_lifecycle: NodeLifecycle::default(),
            node_ipam: NodeIpam::default(),
        }
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

impl Config {
    /// Upstream's defaults with the flags over them.
    ///
    /// # Errors
    /// A flag has a value that cannot be used.
    pub fn from_flags(flags: &Flags) -> Result<Self, FlagError> {
        let mut config = Self {
            kubeconfig: flags.non_empty("kubeconfig").map(Into::into),
            master: flags.non_empty("master").map(Into::into),
            kube_api_qps: flags.number("kube-api-qps")?,
            kube_api_burst: flags.number("kube-api-burst")?,
            root_ca_file: flags.non_empty("root-ca-file").map(Into::into),
            service_account_private_key_file: flags
                .non_empty("service-account-private-key-file")
                .map(Into::into),
            node_ipam: node_ipam(flags)?,
            ..Self::default()
        };
        set(
            &mut config.controllers,
            flags
                .list("controllers")
                .map(|words| words.into_iter().map(str::to_owned).collect()),
        );
        set(
            &mut config.use_service_account_credentials,
            flags.boolean("use-service-account-credentials"),
        );
        set(
            &mut config.enable_garbage_collector,
            flags.boolean("enable-garbage-collector"),
        );
        set(
            &mut config.max_endpoints_per_slice,
            flags.number("max-endpoints-per-slice")?,
        );
        if !(1..=1000).contains(&config.max_endpoints_per_slice) {
            return Err(flags.invalid("max-endpoints-per-slice", "it must be between 1 and 1000"));
        }
        let threshold: Option<i64> = flags.number("terminated-pod-gc-threshold")?;
        set(
            &mut config.terminated_pod_gc_threshold,
            threshold.map(|n| usize::try_from(n).unwrap_or(0)),
        );
        for (name, field) in [
            (
                "concurrent-deployment-syncs",
                &mut config.concurrent_deployment_syncs,
            ),
            (
                "concurrent-replicaset-syncs",
                &mut config.concurrent_replicaset_syncs,
            ),
            (
                "concurrent-service-endpoint-syncs",
                &mut config.concurrent_service_endpoint_syncs,
            ),
            ("concurrent-endpoint-syncs", &mut config.concurrent_endpoint_syncs),
            ("concurrent-job-syncs", &mut config.concurrent_job_syncs),
            ("concurrent-cron-job-syncs", &mut config.concurrent_cron_job_syncs),
            (
                "concurrent-ttl-after-finished-syncs",
                &mut config.concurrent_ttl_after_finished_syncs,
            ),
            ("concurrent-rc-syncs", &mut config.concurrent_rc_syncs),
            (
                "concurrent-resource-quota-syncs",
                &mut config.concurrent_resource_quota_syncs,
            ),
            ("concurrent-gc-syncs", &mut config.concurrent_gc_syncs),
            (
                "concurrent-namespace-syncs",
                &mut config.concurrent_namespace_syncs,
            ),
            (
                "concurrent-daemonset-syncs",
                &mut config.concurrent_daemonset_syncs,
            ),
            (
                "concurrent-statefulset-syncs",
                &mut config.concurrent_statefulset_syncs,
            ),
        ] {
            set(field, flags.number(name)?);
            if *field == 0 {
                return Err(flags.invalid(name, "it must be at least 1"));
            }
        }
        for (name, field) in [
            (
                "controller-shutdown-timeout",
                &mut config.controller_shutdown_timeout,
            ),
            (
                "endpointslice-updates-batch-period",
                &mut config.endpointslice_updates_batch_period,
            ),
            (
                "endpoint-updates-batch-period",
                &mut config.endpoint_updates_batch_period,
            ),
            (
                "resource-quota-sync-period",
                &mut config.resource_quota_sync_period,
            ),
            ("node-monitor-period", &mut config.node_lifecycle.monitor_period),
            (
                "node-monitor-grace-period",
                &mut config.node_lifecycle.monitor_grace_period,
            ),
            (
                "node-startup-grace-period",
                &mut config.node_lifecycle.startup_grace_period,
            ),
        ] {
            set(field, flags.duration(name)?);
        }
        for (name, field) in [
            ("node-eviction-rate", &mut config.node_lifecycle.eviction_rate),
            (
                "secondary-node-eviction-rate",
                &mut config.node_lifecycle.secondary_eviction_rate,
            ),
            (
                "unhealthy-zone-threshold",
                &mut config.node_lifecycle.unhealthy_zone_threshold,
            ),
        ] {
            set(field, flags.number(name)?);
        }
        set(
            &mut config.node_lifecycle.large_cluster_size_threshold,
            flags.number("large-cluster-size-threshold")?,
        );
        config.leader_election = leader_election(flags)?;
        Ok(config)
    }
}

fn leader_election(flags: &Flags) -> Result<LeaderElection, FlagError> {
    let mut election = LeaderElection::default();
    set(&mut election.leader_elect, flags.boolean("leader-elect"));
    set(
        &mut election.resource_name,
        flags.non_empty("leader-elect-resource-name").map(Into::into),
    );
    set(
        &mut election.resource_namespace,
        flags.non_empty("leader-elect-resource-namespace").map(Into::into),
    );
    set(
        &mut election.lease_duration,
        flags.duration("leader-elect-lease-duration")?,
    );
    set(
        &mut election.renew_deadline,
        flags.duration("leader-elect-renew-deadline")?,
    );
    set(
        &mut election.retry_period,
        flags.duration("leader-elect-retry-period")?,
    );
    if flags
        .text("leader-elect-resource-lock")
        .is_some_and(|lock| lock != "leases")
    {
        return Err(flags.invalid("leader-elect-resource-lock", "only leases are supported"));
    }
    if election.lease_duration <= election.renew_deadline {
        return Err(flags.invalid(
            "leader-elect-lease-duration",
            "it must be longer than --leader-elect-renew-deadline",
        ));
    }
    if election.renew_deadline <= election.retry_period {
        return Err(flags.invalid(
            "leader-elect-renew-deadline",
            "it must be longer than --leader-elect-retry-period",
        ));
    }
    Ok(election)
}

fn node_ipam(flags: &Flags) -> Result<NodeIpam, FlagError> {
    let ranges = |name: &str| {
        flags
            .text(name)
            .map(|text| {
                text.split(',')
                    .map(|range| range.trim().to_owned())
                    .filter(|range| !range.is_empty())
                    .collect()
            })
            .unwrap_or_default()
    };
    Ok(NodeIpam {
        allocate_node_cidrs: flags.boolean("allocate-node-cidrs").unwrap_or(false),
        cluster_cidrs: ranges("cluster-cidr"),
        service_cidrs: ranges("service-cluster-ip-range"),
        allocator: flags
            .non_empty("cidr-allocator-type")
            .unwrap_or("RangeAllocator")
            .to_owned(),
        mask_size: flags.number("node-cidr-mask-size")?,
        mask_size_ipv4: flags.number("node-cidr-mask-size-ipv4")?,
        mask_size_ipv6: flags.number("node-cidr-mask-size-ipv6")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::PROGRAM;

    fn config(args: &[&str]) -> Result<Config, FlagError> {
        Config::from_flags(&PROGRAM.parse_from(args.iter().copied()).unwrap())
    }

    #[test]
    fn flags_go_over_upstreams_defaults() {
        let plain = config(&[]).unwrap();
        assert_eq!(
            (
                plain.concurrent_deployment_syncs,
                plain.concurrent_gc_syncs,
                plain.leader_election.leader_elect
            ),
            (5, 20, true)
        );
        let set = config(&[
            "--controllers=*,-job-controller",
            "--concurrent-deployment-syncs=9",
            "--node-monitor-grace-period=16s",
            "--leader-elect=false",
        ])
        .unwrap();
        assert_eq!(set.controllers, ["*", "-job-controller"]);
        assert_eq!(
            (
                set.concurrent_deployment_syncs,
                set.node_lifecycle.monitor_grace_period
            ),
            (9, Duration::from_secs(16))
        );
        assert!(!set.leader_election.leader_elect);
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for args in [
            "--concurrent-gc-syncs=0",
            "--concurrent-gc-syncs=x",
            "--max-endpoints-per-slice=1001",
            "--leader-elect-lease-duration=1s",
            "--leader-elect-resource-lock=configmaps",
            "--node-monitor-period=soon",
        ] {
            assert!(config(&[args]).is_err(), "{args}");
        }
    }
}
