//! `KubeletConfiguration` v1beta1: every field, with upstream's defaults. Unknown fields are errors that name them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// `kubelet.config.k8s.io/v1beta1` `KubeletConfiguration`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeletConfig {
    /// `KubeletConfiguration`.
    pub kind: String,
    /// `kubelet.config.k8s.io/v1beta1`.
    pub api_version: String,
    /// Serve on `port`.
    pub enable_server: bool,
    /// Folder (or file) of static pods.
    pub static_pod_path: String,
    /// Root of container logs.
    pub pod_logs_dir: String,
    /// Upstream's resync period; ours is event-driven and uses it for nothing.
    pub sync_frequency: Span,
    /// Safety-net rescan of `staticPodPath` (inotify does the rest).
    pub file_check_frequency: Span,
    /// How often `staticPodURL` is read.
    pub http_check_frequency: Span,
    /// URL of static pods.
    #[serde(rename = "staticPodURL")]
    pub static_pod_url: String,
    /// Headers for that URL.
    #[serde(rename = "staticPodURLHeader")]
    pub static_pod_url_header: BTreeMap<String, Vec<String>>,
    /// Address to serve on.
    pub address: String,
    /// Port to serve on.
    pub port: u16,
    /// Unauthenticated port, 0 for none.
    pub read_only_port: u16,
    /// Serving certificate; empty: self-signed in `--cert-dir`.
    pub tls_cert_file: String,
    /// Its key.
    pub tls_private_key_file: String,
    /// Allowed suites.
    pub tls_cipher_suites: Vec<String>,
    /// Allowed curves.
    pub tls_curve_preferences: Vec<i32>,
    /// `VersionTLS12` or `VersionTLS13`.
    pub tls_min_version: String,
    /// Rotate the client certificate.
    pub rotate_certificates: bool,
    /// Ask the API for a serving certificate.
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    /// Who may ask.
    pub authentication: Authentication,
    /// Who may do what.
    pub authorization: Authorization,
    /// Image pulls a second, 0 for no limit.
    #[serde(rename = "registryPullQPS")]
    pub registry_pull_qps: i32,
    /// Burst of image pulls.
    pub registry_burst: i32,
    /// Which cached images need credentials.
    pub image_pull_credentials_verification_policy: String,
    /// Images exempt from that.
    pub preloaded_images_verification_allowlist: Vec<String>,
    /// Events a second.
    #[serde(rename = "eventRecordQPS")]
    pub event_record_qps: i32,
    /// Burst of events.
    pub event_burst: i32,
    /// Logs, exec, attach, port-forward, run.
    pub enable_debugging_handlers: bool,
    /// No effect.
    pub enable_contention_profiling: bool,
    /// Port of `/healthz`, 0 for none.
    pub healthz_port: u16,
    /// Its address.
    pub healthz_bind_address: String,
    /// Our own oom_score_adj.
    pub oom_score_adj: i32,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// DNS servers for pods.
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    /// Idle limit of exec, attach and port-forward streams.
    pub streaming_connection_idle_timeout: Span,
    /// How often node status is computed; default 10 s.
    pub node_status_update_frequency: Span,
    /// How often an unchanged node status is written; default 5 m, or the update frequency where that is set.
    pub node_status_report_frequency: Span,
    /// Duration of the node lease.
    pub node_lease_duration_seconds: i32,
    /// Unused images younger than this stay.
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: Span,
    /// Unused images older than this go; 0: never for age.
    #[serde(rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: Span,
    /// Disk usage that starts image collection.
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: i32,
    /// Disk usage it collects down to.
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: i32,
    /// How old volume statistics may be.
    pub volume_stats_agg_period: Span,
    /// Cgroup to put ourselves in.
    pub kubelet_cgroups: String,
    /// Cgroup for other processes.
    pub system_cgroups: String,
    /// Cgroup above `kubepods`.
    pub cgroup_root: String,
    /// Pod and QoS cgroups.
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: bool,
    /// `cgroupfs` or `systemd`; the runtime's answer wins.
    pub cgroup_driver: String,
    /// `none` or `static`.
    pub cpu_manager_policy: String,
    /// cgroup v2: kill one process, not the container.
    #[serde(rename = "singleProcessOOMKill")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_process_oom_kill: Option<bool>,
    /// `cpuManagerPolicyOptions`.
    pub cpu_manager_policy_options: BTreeMap<String, String>,
    /// `cpuManagerReconcilePeriod`.
    pub cpu_manager_reconcile_period: Span,
    /// `memoryManagerPolicy`.
    pub memory_manager_policy: String,
    /// `topologyManagerPolicy`.
    pub topology_manager_policy: String,
    /// `topologyManagerScope`.
    pub topology_manager_scope: String,
    /// `topologyManagerPolicyOptions`.
    pub topology_manager_policy_options: BTreeMap<String, String>,
    /// `qosReserved`.
    pub qos_reserved: BTreeMap<String, String>,
    /// Deadline of runtime calls (not of pulls, logs, exec, attach).
    pub runtime_request_timeout: Span,
    /// No effect (the network plugin's).
    pub hairpin_mode: String,
    /// Most pods on this node.
    pub max_pods: u32,
    /// Pod range for a standalone kubelet.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// Processes a pod, -1 for the node's limit.
    pub pod_pids_limit: i64,
    /// Base of pods' DNS configuration.
    pub resolv_conf: String,
    /// No effect, as upstream.
    pub run_once: bool,
    /// Enforce CPU limits.
    #[serde(rename = "cpuCFSQuota")]
    pub cpu_cfs_quota: bool,
    /// Over this period.
    #[serde(rename = "cpuCFSQuotaPeriod")]
    pub cpu_cfs_quota_period: Span,
    /// Images in the node status, -1 for all.
    pub node_status_max_images: i32,
    /// Our own limit of open files.
    pub max_open_files: i64,
    /// No effect (JSON).
    pub content_type: String,
    /// Cap on API requests where set.
    #[serde(rename = "kubeAPIQPS")]
    pub kube_api_qps: i32,
    /// `kubeAPIBurst`.
    #[serde(rename = "kubeAPIBurst")]
    pub kube_api_burst: i32,
    /// One pull at a time; default true unless `maxParallelImagePulls` > 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serialize_image_pulls: Option<bool>,
    /// Most pulls at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel_image_pulls: Option<i32>,
    /// `evictionHard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_hard: Option<BTreeMap<String, String>>,
    /// `evictionSoft`.
    pub eviction_soft: BTreeMap<String, String>,
    /// `evictionSoftGracePeriod`.
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    /// `evictionPressureTransitionPeriod`.
    pub eviction_pressure_transition_period: Span,
    /// `evictionMaxPodGracePeriod`.
    pub eviction_max_pod_grace_period: i32,
    /// `evictionMinimumReclaim`.
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    /// `mergeDefaultEvictionSettings`.
    pub merge_default_eviction_settings: bool,
    /// Most pods a core, 0 for no such limit.
    pub pods_per_core: u32,
    /// `enableControllerAttachDetach`.
    pub enable_controller_attach_detach: bool,
    /// `protectKernelDefaults`.
    pub protect_kernel_defaults: bool,
    /// `makeIPTablesUtilChains`.
    #[serde(rename = "makeIPTablesUtilChains")]
    pub make_iptables_util_chains: bool,
    /// No effect, as upstream.
    pub iptables_masquerade_bit: i32,
    /// No effect, as upstream.
    pub iptables_drop_bit: i32,
    /// `featureGates`.
    pub feature_gates: BTreeMap<String, bool>,
    /// `failSwapOn`.
    pub fail_swap_on: bool,
    /// `memorySwap`.
    pub memory_swap: MemorySwap,
    /// Log rotation: size.
    pub container_log_max_size: String,
    /// Log rotation: files kept.
    pub container_log_max_files: u32,
    /// `containerLogMaxWorkers`.
    pub container_log_max_workers: u32,
    /// Log rotation: how often sizes are looked at.
    pub container_log_monitor_interval: Span,
    /// `Watch`, `Cache` or `Get`.
    pub config_map_and_secret_change_detection_strategy: String,
    /// `systemReserved`.
    pub system_reserved: BTreeMap<String, String>,
    /// `kubeReserved`.
    pub kube_reserved: BTreeMap<String, String>,
    /// `reservedSystemCPUs`.
    #[serde(rename = "reservedSystemCPUs")]
    pub reserved_system_cpus: String,
    /// `showHiddenMetricsForVersion`.
    pub show_hidden_metrics_for_version: String,
    /// `systemReservedCgroup`.
    pub system_reserved_cgroup: String,
    /// `kubeReservedCgroup`.
    pub kube_reserved_cgroup: String,
    /// `enforceNodeAllocatable`.
    pub enforce_node_allocatable: Vec<String>,
    /// Sysctls (or `prefix*`) that pods may set.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// `defaultPodSysctls`.
    pub default_pod_sysctls: BTreeMap<String, String>,
    /// `volumePluginDir`.
    pub volume_plugin_dir: String,
    /// Goes into the Node's spec.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// `kernelMemcgNotification`.
    pub kernel_memcg_notification: bool,
    /// `logging`.
    pub logging: Logging,
    /// `/logs/`.
    pub enable_system_log_handler: bool,
    /// `enableSystemLogQuery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_system_log_query: Option<bool>,
    /// `shutdownGracePeriod`.
    pub shutdown_grace_period: Span,
    /// `shutdownGracePeriodCriticalPods`.
    pub shutdown_grace_period_critical_pods: Span,
    /// `shutdownGracePeriodByPodPriority`.
    pub shutdown_grace_period_by_pod_priority: Vec<ShutdownByPriority>,
    /// `crashLoopBackOff`.
    pub crash_loop_back_off: CrashLoopBackOff,
    /// `reservedMemory`.
    pub reserved_memory: Vec<serde_json::Value>,
    /// `enableProfilingHandler`.
    pub enable_profiling_handler: bool,
    /// `enableDebugFlagsHandler`.
    pub enable_debug_flags_handler: bool,
    /// RuntimeDefault seccomp for containers that name none.
    pub seccomp_default: bool,
    /// cgroup v2 memory.high; upstream's default 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_throttling_factor: Option<f64>,
    /// `memoryReservationPolicy`.
    pub memory_reservation_policy: String,
    /// `registerWithTaints`.
    pub register_with_taints: Vec<core::Taint>,
    /// `registerNode`.
    pub register_node: bool,
    /// No effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<serde_json::Value>,
    /// `localStorageCapacityIsolation`.
    pub local_storage_capacity_isolation: bool,
    /// `containerRuntimeEndpoint`.
    pub container_runtime_endpoint: String,
    /// Where images are, if not at the runtime.
    pub image_service_endpoint: String,
    /// `failCgroupV1`.
    pub fail_cgroup_v1: bool,
    /// `userNamespaces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_namespaces: Option<UserNamespaces>,
}

impl Default for KubeletConfig {
    fn default() -> Self {
        Self {
            kind: "KubeletConfiguration".into(),
            api_version: "kubelet.config.k8s.io/v1beta1".into(),
            enable_server: true,
            static_pod_path: String::new(),
            pod_logs_dir: "/var/log/pods".into(),
            sync_frequency: Span::secs(60),
            file_check_frequency: Span::secs(20),
            http_check_frequency: Span::secs(20),
            static_pod_url: String::new(),
            static_pod_url_header: BTreeMap::new(),
            address: "0.0.0.0".into(),
            port: 10250,
            read_only_port: 0,
            tls_cert_file: String::new(),
            tls_private_key_file: String::new(),
            tls_cipher_suites: Vec::new(),
            tls_curve_preferences: Vec::new(),
            tls_min_version: String::new(),
            rotate_certificates: false,
            server_tls_bootstrap: false,
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            registry_pull_qps: 5,
            registry_burst: 10,
            image_pull_credentials_verification_policy: "NeverVerifyPreloadedImages".into(),
            preloaded_images_verification_allowlist: Vec::new(),
            event_record_qps: 50,
            event_burst: 100,
            enable_debugging_handlers: true,
            enable_contention_profiling: false,
            healthz_port: 10248,
            healthz_bind_address: "127.0.0.1".into(),
            oom_score_adj: -999,
            cluster_domain: String::new(),
            cluster_dns: Vec::new(),
            streaming_connection_idle_timeout: Span::secs(4 * 3600),
            node_status_update_frequency: Span::ZERO,
            node_status_report_frequency: Span::ZERO,
            node_lease_duration_seconds: 40,
            image_minimum_gc_age: Span::secs(120),
            image_maximum_gc_age: Span::ZERO,
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            volume_stats_agg_period: Span::secs(60),
            kubelet_cgroups: String::new(),
            system_cgroups: String::new(),
            cgroup_root: String::new(),
            cgroups_per_qos: true,
            cgroup_driver: "cgroupfs".into(),
            cpu_manager_policy: "none".into(),
            single_process_oom_kill: None,
            cpu_manager_policy_options: BTreeMap::new(),
            cpu_manager_reconcile_period: Span::secs(10),
            memory_manager_policy: "None".into(),
            topology_manager_policy: "none".into(),
            topology_manager_scope: "container".into(),
            topology_manager_policy_options: BTreeMap::new(),
            qos_reserved: BTreeMap::new(),
            runtime_request_timeout: Span::secs(120),
            hairpin_mode: "promiscuous-bridge".into(),
            max_pods: 110,
            pod_cidr: String::new(),
            pod_pids_limit: -1,
            resolv_conf: "/etc/resolv.conf".into(),
            run_once: false,
            cpu_cfs_quota: true,
            cpu_cfs_quota_period: Span::millis(100),
            node_status_max_images: 50,
            max_open_files: 1_000_000,
            content_type: "application/vnd.kubernetes.protobuf".into(),
            kube_api_qps: 50,
            kube_api_burst: 100,
            serialize_image_pulls: None,
            max_parallel_image_pulls: None,
            eviction_hard: None,
            eviction_soft: BTreeMap::new(),
            eviction_soft_grace_period: BTreeMap::new(),
            eviction_pressure_transition_period: Span::secs(300),
            eviction_max_pod_grace_period: 0,
            eviction_minimum_reclaim: BTreeMap::new(),
            merge_default_eviction_settings: false,
            pods_per_core: 0,
            enable_controller_attach_detach: true,
            protect_kernel_defaults: false,
            make_iptables_util_chains: true,
            iptables_masquerade_bit: 14,
            iptables_drop_bit: 15,
            feature_gates: BTreeMap::new(),
            fail_swap_on: true,
            memory_swap: MemorySwap::default(),
            container_log_max_size: "10Mi".into(),
            container_log_max_files: 5,
            container_log_max_workers: 1,
            container_log_monitor_interval: Span::secs(10),
            config_map_and_secret_change_detection_strategy: "Watch".into(),
            system_reserved: BTreeMap::new(),
            kube_reserved: BTreeMap::new(),
            reserved_system_cpus: String::new(),
            show_hidden_metrics_for_version: String::new(),
            system_reserved_cgroup: String::new(),
            kube_reserved_cgroup: String::new(),
            enforce_node_allocatable: vec!["pods".into()],
            allowed_unsafe_sysctls: Vec::new(),
            default_pod_sysctls: BTreeMap::new(),
            volume_plugin_dir: "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/".into(),
            provider_id: String::new(),
            kernel_memcg_notification: false,
            logging: Logging::default(),
            enable_system_log_handler: true,
            enable_system_log_query: None,
            shutdown_grace_period: Span::ZERO,
            shutdown_grace_period_critical_pods: Span::ZERO,
            shutdown_grace_period_by_pod_priority: Vec::new(),
            crash_loop_back_off: CrashLoopBackOff::default(),
            reserved_memory: Vec::new(),
            enable_profiling_handler: true,
            enable_debug_flags_handler: true,
            seccomp_default: false,
            memory_throttling_factor: None,
            memory_reservation_policy: "None".into(),
            register_with_taints: Vec::new(),
            register_node: true,
            tracing: None,
            local_storage_capacity_isolation: true,
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            image_service_endpoint: String::new(),
            fail_cgroup_v1: true,
            user_namespaces: None,
        }
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509,
    /// Bearer tokens, by TokenReview.
    pub webhook: WebhookAuthentication,
    /// Nobody in particular.
    pub anonymous: Anonymous,
}

/// Client certificates.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct X509 {
    /// The CA that signs them.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: String,
}

/// Bearer tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WebhookAuthentication {
    /// Ask the API server.
    pub enabled: bool,
    /// Answers are kept this long.
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: Span,
}

impl Default for WebhookAuthentication {
    fn default() -> Self {
        Self {
            enabled: true,
            cache_ttl: Span::secs(120),
        }
    }
}

/// Requests without credentials.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Anonymous {
    /// Let them in as `system:anonymous`.
    pub enabled: bool,
}

/// Who may do what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Authorization {
    /// `Webhook` or `AlwaysAllow`.
    pub mode: String,
    /// SubjectAccessReview.
    pub webhook: WebhookAuthorization,
}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            mode: "Webhook".into(),
            webhook: WebhookAuthorization::default(),
        }
    }
}

/// SubjectAccessReview.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WebhookAuthorization {
    /// A yes is kept this long.
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: Span,
    /// A no is kept this long.
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: Span,
}

impl Default for WebhookAuthorization {
    fn default() -> Self {
        Self {
            cache_authorized_ttl: Span::secs(300),
            cache_unauthorized_ttl: Span::secs(30),
        }
    }
}

/// `memorySwap`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MemorySwap {
    /// `NoSwap` (also when empty) or `LimitedSwap`.
    pub swap_behavior: String,
}

/// `logging`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Logging {
    /// `text` or `json`.
    pub format: String,
    /// Buffering; no effect.
    pub flush_frequency: serde_json::Value,
    /// `-v`.
    pub verbosity: u32,
    /// Per-file verbosity; no effect.
    pub vmodule: Vec<serde_json::Value>,
    /// Options of formats; no effect.
    pub options: serde_json::Value,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: "text".into(),
            flush_frequency: "5s".into(),
            verbosity: 0,
            vmodule: Vec::new(),
            options: serde_json::json!({}),
        }
    }
}

/// One priority's share of a graceful shutdown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ShutdownByPriority {
    /// Pods of this priority and above.
    pub priority: i32,
    /// Seconds they get.
    pub shutdown_grace_period_seconds: i64,
}

/// `crashLoopBackOff`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CrashLoopBackOff {
    /// The longest wait between restarts; 5 m where unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_container_restart_period: Option<Span>,
}

/// `userNamespaces`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UserNamespaces {
    /// Ids a pod, a multiple of 65536.
    pub ids_per_pod: Option<i64>,
}
