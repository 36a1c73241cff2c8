use super::*;
use crate::model::Family;
use crate::nft::{LocalTraffic, NodePortAddresses};
use machinery::component::config;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

fn parse(text: &str) -> Result<File, config::ConfigError> {
    config::parse(
        &format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{text}"),
        Path::new("proxy.yaml"),
        API_VERSION,
        KIND,
    )
}

fn config(text: &str, args: &[&str]) -> Result<Config, Vec<String>> {
    let mut file = parse(text).map_err(|e| vec![e.to_string()])?;
    let flags = PROGRAM
        .parse_from(args.iter().copied())
        .map_err(|e| vec![e.text])?;
    overlay(&mut file, &flags).map_err(|e| vec![e.to_string()])?;
    file.complete();
    Config::new(&file).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

#[test]
fn defaults_are_upstreams() {
    let config = config("", &[]).unwrap();
    assert_eq!(config.healthz, Some("0.0.0.0:10256".parse().unwrap()));
    assert_eq!(config.metrics, Some("127.0.0.1:10249".parse().unwrap()));
    assert_eq!(config.masquerade_mark, 0x4000);
    assert_eq!(config.sync_period, Duration::from_secs(30));
    assert_eq!(config.min_sync_period, None);
    assert_eq!(config.oom_score_adj, -999);
    assert_eq!(config.conntrack.max_per_core, 32768);
    assert_eq!(config.conntrack.min, 131_072);
    assert_eq!(config.conntrack.tcp_established, Duration::from_secs(86400));
    assert_eq!(config.detect_local, DetectLocal::ClusterCidr(vec![]));
    assert_eq!(config.node_port_ranges, [NodePortRange::Primary]);
}

#[test]
fn what_kubeadm_writes_is_understood() {
    let text = r#"
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
configSyncPeriod: 0s
conntrack: {maxPerCore: 0, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 1s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: nftables
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
"#;
    let config = config(text, &[]).unwrap();
    assert_eq!(config.conntrack.max_per_core, 0);
    assert_eq!(
        config.kubeconfig.as_deref(),
        Some(Path::new("/var/lib/kube-proxy/kubeconfig.conf"))
    );
    assert_eq!(config.cap, None);
    let ip: IpAddr = "10.0.0.5".parse().unwrap();
    let settings = config.settings(Family::Ipv6, &[ip], &[], &[], &[ip]);
    assert_eq!(
        settings.local_traffic,
        LocalTraffic::Cidr("fd00:10:244::/56".parse().unwrap())
    );
    assert_eq!(
        settings.node_port_addresses,
        NodePortAddresses::All,
        "no address of this family to restrict to"
    );
    let settings = config.settings(Family::Ipv4, &[ip], &[], &[], &[ip, "10.0.0.6".parse().unwrap()]);
    assert_eq!(settings.node_port_addresses, NodePortAddresses::Only(vec![ip]));
    let settings = config.settings(Family::Ipv4, &[], &[], &[], &[ip]);
    assert_eq!(
        settings.node_port_addresses,
        NodePortAddresses::Only(vec![]),
        "not known yet"
    );
}

#[test]
fn flags_win_over_the_file() {
    let args = [
        "--cluster-cidr=10.1.0.0/16",
        "--healthz-port=0",
        "--conntrack-max-per-core=7",
        "--metrics-bind-address",
        "::",
    ];
    let config = config("clusterCIDR: 10.244.0.0/16\nmetricsBindAddress: 1.2.3.4:5", &args).unwrap();
    assert_eq!(
        config.detect_local,
        DetectLocal::ClusterCidr(vec!["10.1.0.0/16".parse().unwrap()])
    );
    assert_eq!(config.healthz, None);
    assert_eq!(config.metrics, Some("[::]:10249".parse().unwrap()));
    assert_eq!(config.conntrack.max_per_core, 7);
}

#[test]
fn mistakes_are_named() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("modes: nftables", &[], "unknown field `modes`"),
        ("nftables: {syncperiod: 1s}", &[], "field nftables"),
        ("mode: iptables", &[], "the mode nftables only"),
        ("", &["--proxy-mode=ipvs"], "the mode nftables only"),
        ("mode: userspace", &[], "it must be nftables"),
        ("nftables: {masqueradeBit: 32}", &[], "nftables.masqueradeBit"),
        ("healthzBindAddress: nowhere", &[], "IP:port"),
        (
            "detectLocalMode: BridgeInterface",
            &[],
            "detectLocal.bridgeInterface",
        ),
        ("clusterCIDR: 10.244.0.0", &[], "clusterCIDR"),
        ("nodePortAddresses: [primry]", &[], "nodePortAddresses"),
        ("conntrack: {udpTimeout: fast}", &[], "conntrack.udpTimeout"),
        ("nftables: {minSyncPeriod: 1m}", &[], "not be longer than"),
        ("", &["--proxy-mod=nftables"], "--proxy-mode"),
        ("", &["--oom-score-adj=many"], "oom-score-adj"),
    ];
    for (text, args, wanted) in cases {
        let wrong = config(text, args).expect_err(text);
        assert!(
            wrong.iter().any(|w| w.contains(wanted)),
            "{text} {args:?}: {wrong:?}"
        );
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let wrong = config("mode: ipvs\noomScoreAdj: 4000\nbindAddress: here", &[]).unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}
