//! The command line of every program of a rig.
//!
//! Flags are those that upstream's program and ours both take: a swap changes the binary and nothing else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::{self, API_PORT, CONTROL_PLANE, ETCD_PORT, POD_RANGES, REGISTRY_PORT, SERVICE_RANGES};
use super::choice::{Component, Origin};
use super::site::Site;

/// A program for the supervisor to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// `kube-scheduler`, `kubelet@n1`: also the name of its log.
    pub instance: String,
    pub machine: String,
    /// The cgroup that it starts in, relative to the root of each hierarchy.
    pub cgroup: String,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub log: PathBuf,
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn program(site: &Site, instance: String, machine: &str, binary: &Path, flags: Vec<String>) -> Program {
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        show(&site.upstream())
    );
    Program {
        log: site.folder.log(&instance),
        instance,
        machine: machine.to_owned(),
        cgroup: site.programs_cgroup(machine),
        argv: std::iter::once(show(binary)).chain(flags).collect(),
        env: vec![("PATH".to_owned(), path), ("HOME".to_owned(), "/root".to_owned())],
    }
}

/// etcd, on the control plane's own loopback. Nothing in a rig outlives a power cut, so it never syncs.
pub fn etcd(site: &Site) -> Program {
    let url = format!("http://127.0.0.1:{ETCD_PORT}");
    let flags = vec![
        format!("--data-dir={}", show(&site.folder.etcd())),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    program(
        site,
        "etcd".to_owned(),
        CONTROL_PLANE,
        &site.upstream().join("etcd"),
        flags,
    )
}

/// kube-apiserver with RBAC, the Node authorizer, NodeRestriction and the aggregation layer.
pub fn apiserver(site: &Site) -> Program {
    let folder = &site.folder;
    let (crt, key) = (
        |name| show(&folder.certificate(name)),
        |name| show(&folder.key(name)),
    );
    let flags = vec![
        format!("--advertise-address={}", address::control_plane().v4),
        format!("--secure-port={API_PORT}"),
        format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
        format!("--service-cluster-ip-range={SERVICE_RANGES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--enable-aggregator-routing=true".to_owned(),
        format!("--client-ca-file={}", crt("ca")),
        format!("--tls-cert-file={}", crt("apiserver")),
        format!("--tls-private-key-file={}", key("apiserver")),
        format!("--kubelet-certificate-authority={}", crt("ca")),
        format!("--kubelet-client-certificate={}", crt("apiserver-kubelet-client")),
        format!("--kubelet-client-key={}", key("apiserver-kubelet-client")),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!(
            "--service-account-key-file={}",
            show(&folder.pki().join("service-account.pub"))
        ),
        format!("--service-account-signing-key-file={}", key("service-account")),
        format!("--proxy-client-cert-file={}", crt("front-proxy-client")),
        format!("--proxy-client-key-file={}", key("front-proxy-client")),
        format!("--requestheader-client-ca-file={}", crt("front-proxy-ca")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--etcd-compaction-interval=1m".to_owned(),
        "--event-ttl=1h".to_owned(),
    ];
    program(
        site,
        "kube-apiserver".to_owned(),
        CONTROL_PLANE,
        &site.upstream().join("kube-apiserver"),
        flags,
    )
}

/// containerd of a node.
pub fn containerd(site: &Site, node: &str) -> Program {
    let flags = vec![format!(
        "--config={}",
        show(&site.folder.config("containerd.toml"))
    )];
    program(
        site,
        format!("containerd@{node}"),
        node,
        &site.upstream().join("containerd"),
        flags,
    )
}

/// The registry over the archives in `images`, which `rig` itself is.
pub fn registry(site: &Site, rig: &Path, images: &Path) -> Program {
    let flags = vec![
        crate::registry::WORD.to_owned(),
        format!("{}:{REGISTRY_PORT}", address::control_plane().v4),
        show(images),
    ];
    program(site, "registry".to_owned(), CONTROL_PLANE, rig, flags)
}

/// One of the four that can be swapped.
pub fn component(site: &Site, component: Component, origin: Origin, machine: &str) -> Program {
    let flags = match component {
        Component::Kubelet => kubelet_flags(site, machine),
        Component::Proxy => proxy_flags(site, machine),
        Component::Scheduler => scheduler_flags(site),
        Component::Controllers => controllers_flags(site),
    };
    program(
        site,
        component.instance(machine),
        machine,
        &site.binary(component, origin),
        flags,
    )
}

fn kubelet_flags(site: &Site, node: &str) -> Vec<String> {
    let number = address::node_number(node).unwrap_or_default();
    let addresses = address::node(number);
    let user = format!("kubelet-{node}");
    vec![
        format!(
            "--config={}",
            show(&site.folder.config(&format!("kubelet-{node}.yaml")))
        ),
        format!("--kubeconfig={}", show(&site.folder.component_kubeconfig(&user))),
        format!("--hostname-override={node}"),
        format!("--node-ip={},{}", addresses.v4, addresses.v6),
        "--v=2".to_owned(),
    ]
}

fn proxy_flags(site: &Site, node: &str) -> Vec<String> {
    vec![
        format!(
            "--config={}",
            show(&site.folder.config(&format!("kube-proxy-{node}.yaml")))
        ),
        format!("--hostname-override={node}"),
        "--v=2".to_owned(),
    ]
}

fn scheduler_flags(site: &Site) -> Vec<String> {
    let kubeconfig = show(&site.folder.component_kubeconfig("kube-scheduler"));
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=true".to_owned(),
        "--v=2".to_owned(),
    ]
}

fn controllers_flags(site: &Site) -> Vec<String> {
    let folder = &site.folder;
    let kubeconfig = show(&folder.component_kubeconfig("kube-controller-manager"));
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=true".to_owned(),
        "--controllers=*".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        format!("--cluster-cidr={POD_RANGES}"),
        format!("--service-cluster-ip-range={SERVICE_RANGES}"),
        "--node-cidr-mask-size-ipv4=24".to_owned(),
        "--node-cidr-mask-size-ipv6=64".to_owned(),
        "--cluster-name=rig".to_owned(),
        format!("--client-ca-file={}", show(&folder.certificate("ca"))),
        format!(
            "--requestheader-client-ca-file={}",
            show(&folder.certificate("front-proxy-ca"))
        ),
        format!("--cluster-signing-cert-file={}", show(&folder.certificate("ca"))),
        format!("--cluster-signing-key-file={}", show(&folder.key("ca"))),
        format!("--root-ca-file={}", show(&folder.certificate("ca"))),
        format!(
            "--service-account-private-key-file={}",
            show(&folder.key("service-account"))
        ),
        "--v=2".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::site::Folder;

    fn site() -> Site {
        Site {
            folder: Folder::new("/s".into()),
            ours: "/target/release".into(),
        }
    }

    #[test]
    fn a_swap_changes_the_binary_and_nothing_else() {
        for which in Component::ALL {
            let machine = if which.on_nodes() { "n1" } else { CONTROL_PLANE };
            let ours = component(&site(), which, Origin::Ours, machine);
            let mut upstream = component(&site(), which, Origin::Upstream, machine);
            assert_eq!(ours.argv[0], format!("/target/release/{}", which.program()));
            assert_eq!(upstream.argv[0], format!("/s/upstream/{}", which.program()));
            upstream.argv[0].clone_from(&ours.argv[0]);
            assert_eq!(ours, upstream);
        }
    }

    #[test]
    fn a_kubelet_takes_the_addresses_of_its_own_node() {
        let kubelet = component(&site(), Component::Kubelet, Origin::Ours, "n2");
        assert!(
            kubelet
                .argv
                .contains(&"--node-ip=198.18.0.12,fd98:18::c".to_owned()),
            "{:?}",
            kubelet.argv
        );
        assert_eq!(kubelet.instance, "kubelet@n2");
        assert_eq!(kubelet.log, Path::new("/s/logs/kubelet@n2.log"));
    }

    #[test]
    fn the_control_plane_s_programs_never_share_a_cgroup_with_pods() {
        let site = site();
        let scheduler = component(&site, Component::Scheduler, Origin::Ours, CONTROL_PLANE);
        assert_ne!(scheduler.cgroup, site.pods_cgroup("n1"));
        assert!(scheduler.cgroup.starts_with(&site.folder.id().cgroup()));
    }
}
