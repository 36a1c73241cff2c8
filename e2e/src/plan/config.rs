//! The text of every configuration file that a rig's programs read.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use super::address::{self, DNS, POD_RANGES, REGISTRY_PORT};
use super::site::Site;

/// The sandbox image that containerd starts pods in.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.2";
/// Registries whose images the rig's own has.
pub const REGISTRIES: [&str; 1] = ["registry.k8s.io"];
/// The bridge that a node's pods hang on.
pub const POD_BRIDGE: &str = "cni0";

/// `KubeletConfiguration` of a node, for upstream's kubelet and ours.
pub fn kubelet(site: &Site, node: &str) -> String {
    let folder = &site.folder;
    let user = format!("kubelet-{node}-server");
    pretty(&json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": folder.certificate("ca") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": folder.certificate(&user),
        "tlsPrivateKeyFile": folder.key(&user),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "staticPodPath": "/etc/kubernetes/manifests",
        "resolvConf": "/etc/resolv.conf",
        "clusterDomain": "cluster.local",
        "clusterDNS": DNS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", site.pods_cgroup(node)),
        "failCgroupV1": false,
        "failSwapOn": false,
        // The disk is the machine's, and a rig's nodes have little on it: how full others made it evicts nobody.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
    }))
}

/// `KubeProxyConfiguration` of a node. Its connection limits stay as the kernel has them: they are the machine's.
pub fn proxy(site: &Site, node: &str) -> String {
    pretty(&json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": site.folder.component_kubeconfig("kube-proxy") },
        "hostnameOverride": node,
        "clusterCIDR": POD_RANGES,
        "detectLocalMode": "ClusterCIDR",
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": "0.0.0.0:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": { "maxPerCore": 0, "min": 0 },
    }))
}

/// containerd's configuration, the same on every node: each has its own `/run` and `/var/lib/containerd`.
pub fn containerd(site: &Site) -> String {
    let (upstream, registries) = (site.upstream(), site.folder.config("registries"));
    let (upstream, registries) = (upstream.display(), registries.display());
    format!(
        "version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
[grpc]
address = '/run/containerd/containerd.sock'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE}'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '{registries}'
[plugins.'io.containerd.cri.v1.runtime']
# A root without CAP_SYS_RESOURCE cannot lower an oom score, and runc would die trying.
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{upstream}']
conf_dir = '/etc/cni/net.d'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '{upstream}/runc'
SystemdCgroup = false
"
    )
}

/// `hosts.toml` of a registry: the rig's own stands for it.
pub fn registry_hosts() -> String {
    let server = format!("http://{}:{REGISTRY_PORT}", address::control_plane().v4);
    format!("server = '{server}'\n[host.'{server}']\ncapabilities = ['pull', 'resolve']\n")
}

/// The CNI configuration of a node whose pods are given addresses in `ranges`.
pub fn cni(ranges: &[IpNet]) -> String {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|range| json!([{ "subnet": range.to_string() }]))
        .collect();
    pretty(&json!({
        "cniVersion": "1.0.0",
        "name": "rig",
        "plugins": [
            {
                "type": "bridge",
                "bridge": POD_BRIDGE,
                "isGateway": true,
                "isDefaultGateway": true,
                "hairpinMode": true,
                "ipMasq": false,
                "ipam": { "type": "host-local", "ranges": ranges },
            },
            { "type": "portmap", "capabilities": { "portMappings": true }, "backend": "nftables" },
        ],
    }))
}

/// Input of `ip -batch` in a node's namespace: its pod bridge, made before the first pod so that its hardware
/// address stays the same for as long as the node lives.
pub fn pod_bridge(number: u8, ranges: &[IpNet]) -> String {
    let mut batch = format!(
        "link add {POD_BRIDGE} address 02:72:69:67:00:{number:02x} type bridge\nlink set {POD_BRIDGE} up\n"
    );
    for range in ranges {
        let nodad = if matches!(range, IpNet::V6(_)) {
            " nodad"
        } else {
            ""
        };
        let _ = writeln!(
            batch,
            "addr add {}/{} dev {POD_BRIDGE}{nodad}",
            address::gateway(*range),
            range.prefix_len()
        );
    }
    batch
}

/// Input of `ip -batch` on every other machine: the way to the pods of node `number`.
pub fn pod_routes(number: u8, ranges: &[IpNet]) -> String {
    ranges
        .iter()
        .map(|range| {
            let via: IpAddr = address::node(number).like(range.addr());
            format!("route replace {range} via {via}\n")
        })
        .collect()
}

/// Input of `ip -batch` in the control plane's namespace: its bridge.
pub fn control_plane_links() -> String {
    let own = address::control_plane();
    format!(
        "link set lo up\nlink add rig address 02:72:69:67:ff:01 type bridge\naddr add {}/24 dev rig\n\
         addr add {}/64 dev rig nodad\nlink set rig up\n",
        own.v4, own.v6
    )
}

/// Input of `ip -batch` in the control plane's namespace: the cable to node `number`, whose first process is `pid`.
pub fn cable(number: u8, pid: u32) -> String {
    let node = address::node_name(number);
    format!("link add {node} type veth peer name eth0 netns {pid}\nlink set {node} master rig up\n")
}

/// Input of `ip -batch` in a node's namespace, once its cable is there.
pub fn node_links(number: u8) -> String {
    let (own, gateway) = (address::node(number), address::control_plane());
    format!(
        "link set lo up\naddr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
         route add default via {}\nroute add ::/0 via {}\n",
        own.v4, own.v6, gateway.v4, gateway.v6
    )
}

/// A kubeconfig with everything in it; certificates and keys are in PEM.
pub fn kubeconfig(server: &str, user: &str, authority: &str, certificate: &str, key: &str) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: rig
  cluster:
    server: {server}
    certificate-authority-data: {}
users:
- name: {user}
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: rig
  context:
    cluster: rig
    user: {user}
current-context: rig
",
        encode(authority),
        encode(certificate),
        encode(key)
    )
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges() -> Vec<IpNet> {
        vec![
            "10.244.3.0/24".parse().unwrap(),
            "fd00:10:244:3::/64".parse().unwrap(),
        ]
    }

    #[test]
    fn pods_of_a_node_are_reached_through_its_addresses_of_the_same_family() {
        assert_eq!(
            pod_routes(2, &ranges()),
            "route replace 10.244.3.0/24 via 198.18.0.12\nroute replace fd00:10:244:3::/64 via fd98:18::c\n"
        );
    }

    #[test]
    fn the_pod_bridge_holds_the_gateways() {
        let batch = pod_bridge(2, &ranges());
        assert!(batch.contains("address 02:72:69:67:00:02"));
        assert!(batch.contains("addr add 10.244.3.1/24 dev cni0\n"));
        assert!(batch.contains("addr add fd00:10:244:3::1/64 dev cni0 nodad\n"));
    }

    #[test]
    fn pods_get_an_address_of_each_family() {
        let conflist: serde_json::Value = serde_json::from_str(&cni(&ranges())).unwrap();
        let ipam = &conflist["plugins"][0]["ipam"]["ranges"];
        assert_eq!(ipam[0][0]["subnet"], "10.244.3.0/24");
        assert_eq!(ipam[1][0]["subnet"], "fd00:10:244:3::/64");
    }
}
