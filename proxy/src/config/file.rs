use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
pub const KIND: &str = "KubeProxyConfiguration";

/// `KubeProxyConfiguration` as it is written: every field of upstream's, none else. Absent, null and (for text) empty
/// all mean the default. Durations are in Go's notation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct File {
    pub feature_gates: Option<BTreeMap<String, bool>>,
    pub client_connection: Option<ClientConnection>,
    pub logging: Option<Logging>,
    pub hostname_override: Option<String>,
    pub bind_address: Option<String>,
    pub healthz_bind_address: Option<String>,
    pub metrics_bind_address: Option<String>,
    pub bind_address_hard_fail: Option<bool>,
    pub enable_profiling: Option<bool>,
    pub show_hidden_metrics_for_version: Option<String>,
    pub mode: Option<String>,
    pub iptables: Option<Iptables>,
    pub ipvs: Option<Ipvs>,
    pub nftables: Option<Nftables>,
    pub winkernel: Option<Winkernel>,
    pub detect_local_mode: Option<String>,
    pub detect_local: Option<DetectLocalFields>,
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: Option<String>,
    pub node_port_addresses: Option<Vec<String>>,
    pub oom_score_adj: Option<i32>,
    pub conntrack: Option<ConntrackFields>,
    pub config_sync_period: Option<String>,
    pub port_range: Option<String>,
    pub windows_run_as_service: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientConnection {
    pub kubeconfig: Option<String>,
    pub accept_content_types: Option<String>,
    pub content_type: Option<String>,
    pub qps: Option<f32>,
    pub burst: Option<i32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Logging {
    pub format: Option<String>,
    pub flush_frequency: Option<serde_json::Value>,
    pub verbosity: Option<u32>,
    pub vmodule: Option<serde_json::Value>,
    pub options: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Iptables {
    pub masquerade_bit: Option<i32>,
    pub masquerade_all: Option<bool>,
    pub localhost_node_ports: Option<bool>,
    pub sync_period: Option<String>,
    pub min_sync_period: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Ipvs {
    pub sync_period: Option<String>,
    pub min_sync_period: Option<String>,
    pub scheduler: Option<String>,
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Option<Vec<String>>,
    #[serde(rename = "strictARP")]
    pub strict_arp: Option<bool>,
    pub tcp_timeout: Option<String>,
    pub tcp_fin_timeout: Option<String>,
    pub udp_timeout: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Nftables {
    pub masquerade_bit: Option<i32>,
    pub masquerade_all: Option<bool>,
    pub sync_period: Option<String>,
    pub min_sync_period: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Winkernel {
    pub network_name: Option<String>,
    pub source_vip: Option<String>,
    #[serde(rename = "enableDSR")]
    pub enable_dsr: Option<bool>,
    pub root_hns_endpoint_name: Option<String>,
    pub forward_health_check_vip: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DetectLocalFields {
    pub bridge_interface: Option<String>,
    pub interface_name_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConntrackFields {
    pub max_per_core: Option<i32>,
    pub min: Option<i32>,
    pub tcp_established_timeout: Option<String>,
    pub tcp_close_wait_timeout: Option<String>,
    pub tcp_be_liberal: Option<bool>,
    pub udp_timeout: Option<String>,
    pub udp_stream_timeout: Option<String>,
}

/// Fills an absent or empty text.
fn text(field: &mut Option<String>, default: impl Into<String>) {
    if field.as_ref().is_none_or(String::is_empty) {
        *field = Some(default.into());
    }
}

/// Fills an absent duration, and a zero one where upstream takes zero for absent.
fn period(field: &mut Option<String>, default: &str) {
    if field
        .as_deref()
        .is_none_or(|text| matches!(text, "" | "0" | "0s"))
    {
        *field = Some(default.into());
    }
}

/// Adds the port to an address that has none.
fn with_port(address: &str, port: u16) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Ok(ip) => format!("{ip}:{port}"),
        Err(_) => address.to_owned(),
    }
}

impl File {
    /// Upstream's defaults for all that is absent.
    pub fn complete(&mut self) {
        text(&mut self.bind_address, "0.0.0.0");
        let ipv6 = self.bind_address.as_ref().is_some_and(|ip| ip.contains(':'));
        let (health, metrics) = if ipv6 {
            ("[::]", "[::1]")
        } else {
            ("0.0.0.0", "127.0.0.1")
        };
        for (field, default, port) in [
            (&mut self.healthz_bind_address, health, 10256),
            (&mut self.metrics_bind_address, metrics, 10249),
        ] {
            text(field, format!("{default}:{port}"));
            *field = field.as_deref().map(|address| with_port(address, port));
        }
        self.oom_score_adj.get_or_insert(-999);
        let nftables = self.nftables.get_or_insert_default();
        period(&mut nftables.sync_period, "30s");
        nftables.masquerade_bit.get_or_insert(14);
        let iptables = self.iptables.get_or_insert_default();
        period(&mut iptables.sync_period, "30s");
        iptables.masquerade_bit.get_or_insert(14);
        iptables.localhost_node_ports.get_or_insert(true);
        period(&mut self.ipvs.get_or_insert_default().sync_period, "30s");
        let conntrack = self.conntrack.get_or_insert_default();
        conntrack.max_per_core.get_or_insert(32 * 1024);
        conntrack.min.get_or_insert(128 * 1024);
        text(&mut conntrack.tcp_established_timeout, "24h0m0s");
        text(&mut conntrack.tcp_close_wait_timeout, "1h0m0s");
        text(&mut conntrack.udp_timeout, "0s");
        text(&mut conntrack.udp_stream_timeout, "0s");
        period(&mut self.config_sync_period, "15m0s");
        text(
            &mut self.client_connection.get_or_insert_default().content_type,
            "application/vnd.kubernetes.protobuf",
        );
        // Upstream means iptables; that mode is not here, and nobody asked for it.
        text(&mut self.mode, "nftables");
        text(&mut self.detect_local_mode, "ClusterCIDR");
        if self.node_port_addresses.as_ref().is_none_or(Vec::is_empty) {
            self.node_port_addresses = Some(vec!["primary".into()]);
        }
    }
}
