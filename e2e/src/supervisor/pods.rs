//! The pod network: CNI configuration on each node and routes between them, as the nodes' `spec.podCIDRs` say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};

use crate::machine::links;
use crate::plan::address::{self, node_number};
use crate::plan::config;
use crate::plan::site::Folder;
use crate::state::replace;

/// Keeps the pod network for as long as the rig is up. `machines` are the first processes of all machines.
pub async fn keep(folder: Folder, kubeconfig: &Path, machines: BTreeMap<String, u32>) -> Result<()> {
    let nodes: Api<Node> = Api::all(crate::cluster::client(kubeconfig).await?);
    let mut network = Network {
        folder,
        machines,
        done: BTreeMap::new(),
    };
    loop {
        if let Err(error) = follow(&nodes, &mut network).await {
            tracing::warn!("pod network: {error:#}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow(nodes: &Api<Node>, network: &mut Network) -> Result<()> {
    let list = nodes
        .list(&ListParams::default())
        .await
        .context("listing nodes")?;
    list.items.iter().try_for_each(|node| network.apply(node))?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut events = nodes
        .watch(&WatchParams::default(), &version)
        .await
        .context("watching nodes")?
        .boxed();
    while let Some(event) = events.try_next().await.context("watching nodes")? {
        match event {
            WatchEvent::Added(node) | WatchEvent::Modified(node) => network.apply(&node)?,
            WatchEvent::Error(error) => return Err(anyhow::anyhow!("watching nodes: {error:?}")),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
        }
    }
    Ok(())
}

struct Network {
    folder: Folder,
    machines: BTreeMap<String, u32>,
    done: BTreeMap<String, Vec<IpNet>>,
}

impl Network {
    fn apply(&mut self, node: &Node) -> Result<()> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let ranges: Vec<IpNet> = node
            .spec
            .iter()
            .flat_map(|spec| spec.pod_cidrs.iter().flatten())
            .filter_map(|range| range.parse().ok())
            .collect();
        let (Some(number), Some(own)) = (node_number(&name), self.machines.get(&name).copied()) else {
            return Ok(());
        };
        if ranges.is_empty() || self.done.get(&name) == Some(&ranges) {
            return Ok(());
        }
        if self.done.contains_key(&name) {
            // The node came back with other ranges.
            links::batch(own, format!("link del {}\n", config::POD_BRIDGE))?;
        }
        links::batch(own, config::pod_bridge(number, &ranges))?;
        for (other, pid) in &self.machines {
            if *other != name {
                links::batch(*pid, config::pod_routes(number, &ranges))?;
            }
        }
        replace(
            &self.folder.cni(&name).join("10-rig.conflist"),
            config::cni(&ranges).as_bytes(),
        )?;
        tracing::info!("pods of {} ({:?}) have {ranges:?}", name, address::node(number));
        self.done.insert(name, ranges);
        Ok(())
    }
}
