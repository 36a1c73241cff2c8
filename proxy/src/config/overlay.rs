use super::file::File;
use machinery::component::flags::{FlagError, Flags};

/// Lays the flags that were given over the file.
///
/// # Errors
/// A flag's value cannot be read.
pub fn overlay(file: &mut File, flags: &Flags) -> Result<(), FlagError> {
    let text = |name: &str, field: &mut Option<String>| {
        if let Some(value) = flags.text(name) {
            *field = Some(value.to_owned());
        }
    };
    let boolean = |name: &str, field: &mut Option<bool>| {
        if let Some(value) = flags.boolean(name) {
            *field = Some(value);
        }
    };
    let client = file.client_connection.get_or_insert_default();
    text("kubeconfig", &mut client.kubeconfig);
    client.qps = flags.number("kube-api-qps")?.or(client.qps);
    client.burst = flags.number("kube-api-burst")?.or(client.burst);

    text("hostname-override", &mut file.hostname_override);
    text("bind-address", &mut file.bind_address);
    text("healthz-bind-address", &mut file.healthz_bind_address);
    text("metrics-bind-address", &mut file.metrics_bind_address);
    port(flags, "healthz-port", &mut file.healthz_bind_address)?;
    port(flags, "metrics-port", &mut file.metrics_bind_address)?;
    boolean("bind-address-hard-fail", &mut file.bind_address_hard_fail);
    text("proxy-mode", &mut file.mode);
    let nftables = file.nftables.get_or_insert_default();
    boolean("masquerade-all", &mut nftables.masquerade_all);
    text("iptables-sync-period", &mut nftables.sync_period);
    text("iptables-min-sync-period", &mut nftables.min_sync_period);
    text("detect-local-mode", &mut file.detect_local_mode);
    text("cluster-cidr", &mut file.cluster_cidr);
    let local = file.detect_local.get_or_insert_default();
    text("pod-bridge-interface", &mut local.bridge_interface);
    text("pod-interface-name-prefix", &mut local.interface_name_prefix);
    if let Some(addresses) = flags.list("nodeport-addresses") {
        file.node_port_addresses = Some(addresses.into_iter().map(str::to_owned).collect());
    }
    file.oom_score_adj = flags.number("oom-score-adj")?.or(file.oom_score_adj);
    let conntrack = file.conntrack.get_or_insert_default();
    conntrack.max_per_core = flags.number("conntrack-max-per-core")?.or(conntrack.max_per_core);
    conntrack.min = flags.number("conntrack-min")?.or(conntrack.min);
    text(
        "conntrack-tcp-timeout-established",
        &mut conntrack.tcp_established_timeout,
    );
    text(
        "conntrack-tcp-timeout-close-wait",
        &mut conntrack.tcp_close_wait_timeout,
    );
    boolean("conntrack-tcp-be-liberal", &mut conntrack.tcp_be_liberal);
    text("conntrack-udp-timeout", &mut conntrack.udp_timeout);
    text("conntrack-udp-timeout-stream", &mut conntrack.udp_stream_timeout);
    if let Some(gates) = flags.map("feature-gates")? {
        for (name, value) in gates {
            let value = machinery::component::flags::boolean(value)
                .ok_or_else(|| flags.invalid("feature-gates", "a gate is true or false"))?;
            file.feature_gates
                .get_or_insert_default()
                .insert(name.to_owned(), value);
        }
    }
    let logging = file.logging.get_or_insert_default();
    logging.verbosity = flags.number("v")?.or(logging.verbosity);
    text("logging-format", &mut logging.format);
    Ok(())
}

/// The deprecated port flags: the address keeps its host, and port 0 switches serving off.
fn port(flags: &Flags, name: &str, address: &mut Option<String>) -> Result<(), FlagError> {
    let Some(port) = flags.number::<u16>(name)? else {
        return Ok(());
    };
    if port == 0 {
        *address = Some("off".to_owned());
    } else if address.as_ref().is_none_or(String::is_empty) {
        let host = if name == "metrics-port" {
            "127.0.0.1"
        } else {
            "0.0.0.0"
        };
        *address = Some(format!("{host}:{port}"));
    }
    Ok(())
}
