use machinery::component::flags::{Flag, Kind, Program, inert, works};

const IPVS: &str = "there is no ipvs mode";
const GO: &str = "there is no Go runtime to profile";

/// Every flag of upstream's kube-proxy.
const FLAGS: &[Flag] = &[
    works(
        "config",
        Kind::Text,
        "a KubeProxyConfiguration file; flags win over it",
    ),
    works(
        "write-config-to",
        Kind::Text,
        "write the configuration, with defaults, to this file and quit",
    ),
    works(
        "cleanup",
        Kind::Bool,
        "remove the rules of kube-proxy, upstream's too, and quit",
    ),
    works(
        "init-only",
        Kind::Bool,
        "do what needs full privileges (kernel settings), and quit",
    ),
    works(
        "kubeconfig",
        Kind::Text,
        "how to reach the API server; the pod's service account if absent",
    ),
    works(
        "master",
        Kind::Text,
        "the API server's address, over that of the kubeconfig",
    ),
    works(
        "kube-api-qps",
        Kind::Text,
        "a cap on requests a second; none if absent",
    ),
    works(
        "kube-api-burst",
        Kind::Text,
        "how many requests may come at once under --kube-api-qps",
    ),
    works(
        "hostname-override",
        Kind::Text,
        "the name of this node; the host's name if absent",
    ),
    works(
        "bind-address",
        Kind::Text,
        "this node's address, over those of the Node object; nothing is bound to it",
    ),
    works(
        "healthz-bind-address",
        Kind::Text,
        "where /healthz and /livez are served",
    ),
    works(
        "metrics-bind-address",
        Kind::Text,
        "where /metrics, /configz and /proxyMode are served",
    ),
    works(
        "bind-address-hard-fail",
        Kind::Bool,
        "quit when an address cannot be bound",
    ),
    works(
        "healthz-port",
        Kind::Text,
        "the port of --healthz-bind-address; 0 serves nothing (deprecated)",
    ),
    works(
        "metrics-port",
        Kind::Text,
        "the port of --metrics-bind-address; 0 serves nothing (deprecated)",
    ),
    works(
        "proxy-mode",
        Kind::Text,
        "nftables; iptables and ipvs are refused",
    ),
    works(
        "masquerade-all",
        Kind::Bool,
        "masquerade all traffic to ClusterIPs",
    ),
    works(
        "iptables-sync-period",
        Kind::Text,
        "how often everything is checked",
    ),
    works(
        "iptables-min-sync-period",
        Kind::Text,
        "the least time between two changes of the rules; adaptive if absent",
    ),
    works(
        "detect-local-mode",
        Kind::Text,
        "how pod traffic is told: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
    ),
    works(
        "cluster-cidr",
        Kind::Text,
        "ranges of the cluster's pods, for --detect-local-mode=ClusterCIDR",
    ),
    works(
        "pod-bridge-interface",
        Kind::Text,
        "for --detect-local-mode=BridgeInterface",
    ),
    works(
        "pod-interface-name-prefix",
        Kind::Text,
        "for --detect-local-mode=InterfaceNamePrefix",
    ),
    works(
        "nodeport-addresses",
        Kind::List,
        "ranges of node addresses that take node ports, or primary, localhost, all",
    ),
    works("oom-score-adj", Kind::Text, "the process's oom_score_adj"),
    works(
        "conntrack-max-per-core",
        Kind::Text,
        "tracked connections for each CPU; 0 leaves the kernel's limit",
    ),
    works(
        "conntrack-min",
        Kind::Text,
        "the least number of tracked connections",
    ),
    works(
        "conntrack-tcp-timeout-established",
        Kind::Text,
        "idle timeout of TCP connections; 0 leaves it",
    ),
    works(
        "conntrack-tcp-timeout-close-wait",
        Kind::Text,
        "timeout of TCP connections in CLOSE_WAIT; 0 leaves it",
    ),
    works(
        "conntrack-tcp-be-liberal",
        Kind::Bool,
        "take out-of-window packets for valid",
    ),
    works(
        "conntrack-udp-timeout",
        Kind::Text,
        "idle timeout of one-way UDP flows; 0 leaves it",
    ),
    works(
        "conntrack-udp-timeout-stream",
        Kind::Text,
        "idle timeout of two-way UDP flows; 0 leaves it",
    ),
    inert(
        "kube-api-content-type",
        Kind::Text,
        "JSON is decoded straight into what is kept",
    ),
    inert(
        "config-sync-period",
        Kind::Text,
        "watches need no periodic refresh",
    ),
    inert("profiling", Kind::Bool, GO),
    inert(
        "iptables-masquerade-bit",
        Kind::Text,
        "it is for the iptables mode; nftables.masqueradeBit is in the file",
    ),
    inert(
        "iptables-localhost-nodeports",
        Kind::Bool,
        "node ports are not served on localhost in nftables mode",
    ),
    inert("ipvs-sync-period", Kind::Text, IPVS),
    inert("ipvs-min-sync-period", Kind::Text, IPVS),
    inert("ipvs-scheduler", Kind::Text, IPVS),
    inert("ipvs-exclude-cidrs", Kind::List, IPVS),
    inert("ipvs-strict-arp", Kind::Bool, IPVS),
    inert("ipvs-tcp-timeout", Kind::Text, IPVS),
    inert("ipvs-tcpfin-timeout", Kind::Text, IPVS),
    inert("ipvs-udp-timeout", Kind::Text, IPVS),
];

/// The command line.
pub const PROGRAM: Program = Program {
    name: "kube-proxy",
    about: "Kubernetes Services on the node's data plane, by nf_tables",
    flags: &[FLAGS],
};
