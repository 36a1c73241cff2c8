//! The files that a rig's programs read, written before the first of them starts.

use std::fs;

use anyhow::{Context, Result};

use crate::pki::{self, Authority, Client, Pair};
use crate::plan::address::{self, API_PORT, API_SERVICE, node_name};
use crate::plan::config;
use crate::plan::site::{Folder, Site};
use crate::state::replace;

/// Writes keys, certificates, kubeconfigs and configuration for a rig of `nodes` nodes whose API server will be on
/// loopback `port`.
pub fn write(site: &Site, nodes: u8, port: u16) -> Result<()> {
    let folder = &site.folder;
    for made in [folder.logs(), folder.etcd(), folder.pki()] {
        fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
    }
    let authority = Authority::new("rig")?;
    authority.own().write(&folder.pki(), "ca")?;
    api_server(folder, &authority)?;
    pki::write_service_account_keys(&folder.pki())?;

    let inside = format!("https://{}:{API_PORT}", address::control_plane().v4);
    for user in ["kube-scheduler", "kube-controller-manager", "kube-proxy"] {
        let pair = authority.client(&Client {
            user: &format!("system:{user}"),
            group: None,
        })?;
        kubeconfig(folder, &authority, &inside, user, &pair)?;
    }
    let admin = authority.client(&Client {
        user: "kubernetes-admin",
        group: Some("system:masters"),
    })?;
    kubeconfig(folder, &authority, &inside, "admin", &admin)?;
    let own = authority.own();
    let outside = format!("https://127.0.0.1:{port}");
    let text = config::kubeconfig(
        &outside,
        "admin",
        &own.certificate,
        &admin.certificate,
        &admin.key,
    );
    replace(&folder.kubeconfig(), text.as_bytes())?;

    replace(
        &folder.config("containerd.toml"),
        config::containerd(site).as_bytes(),
    )?;
    for registry in config::REGISTRIES {
        let hosts = folder.config("registries").join(registry).join("hosts.toml");
        replace(&hosts, config::registry_hosts().as_bytes())?;
    }
    (1..=nodes).try_for_each(|number| node(site, &authority, &inside, number))
}

fn api_server(folder: &Folder, authority: &Authority) -> Result<()> {
    let own = address::control_plane();
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(API_SERVICE.map(str::to_owned));
    names.extend([own.v4.to_string(), own.v6.to_string()]);
    authority
        .server("kube-apiserver", &names)?
        .write(&folder.pki(), "apiserver")?;
    let kubelets = Client {
        user: "kube-apiserver-kubelet-client",
        group: Some("system:masters"),
    };
    authority
        .client(&kubelets)?
        .write(&folder.pki(), "apiserver-kubelet-client")?;
    let front_proxy = Authority::new("rig-front-proxy")?;
    front_proxy.own().write(&folder.pki(), "front-proxy-ca")?;
    let client = Client {
        user: "front-proxy-client",
        group: None,
    };
    front_proxy
        .client(&client)?
        .write(&folder.pki(), "front-proxy-client")
}

fn node(site: &Site, authority: &Authority, server: &str, number: u8) -> Result<()> {
    let (folder, name, addresses) = (&site.folder, node_name(number), address::node(number));
    for made in [folder.cni(&name), folder.manifests(&name)] {
        fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
    }
    let kubelet = Client {
        user: &format!("system:node:{name}"),
        group: Some("system:nodes"),
    };
    kubeconfig(
        folder,
        authority,
        server,
        &format!("kubelet-{name}"),
        &authority.client(&kubelet)?,
    )?;
    let names = [
        name.clone(),
        addresses.v4.to_string(),
        addresses.v6.to_string(),
        "127.0.0.1".to_owned(),
    ];
    authority
        .server(&name, &names)?
        .write(&folder.pki(), &format!("kubelet-{name}-server"))?;
    replace(
        &folder.config(&format!("kubelet-{name}.yaml")),
        config::kubelet(site, &name).as_bytes(),
    )?;
    replace(
        &folder.config(&format!("kube-proxy-{name}.yaml")),
        config::proxy(site, &name).as_bytes(),
    )
}

fn kubeconfig(folder: &Folder, authority: &Authority, server: &str, user: &str, pair: &Pair) -> Result<()> {
    let text = config::kubeconfig(
        server,
        user,
        &authority.own().certificate,
        &pair.certificate,
        &pair.key,
    );
    replace(&folder.component_kubeconfig(user), text.as_bytes())
}
