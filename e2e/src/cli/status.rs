//! `rig status`: a line a program.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::command::runtime;
use crate::machine::process::Usage;
use crate::plan::site::Folder;
use crate::print::print;
use crate::state::State;
use crate::supervisor::client::Supervisor;
use crate::supervisor::protocol::ProgramStatus;

pub fn show(folder: &Folder) -> Result<()> {
    let state = State::expect(folder)?;
    let programs = Supervisor::connect(folder)?.programs()?;
    let mut text = format!(
        "{:<26} {:<9} {:>8} {:>8} {:>8} {:>6}  LAST EXIT\n",
        "PROGRAM", "OF", "PID", "RSS", "CPU", "STARTS"
    );
    for program in &programs {
        writeln!(text, "{}", line(program, &state, &folder.upstream()))?;
    }
    writeln!(text, "\n{}", nodes(folder)?)?;
    writeln!(text, "kubeconfig: {}", folder.kubeconfig().display())?;
    print(&text)
}

/// A line a node.
pub fn nodes(folder: &Folder) -> Result<String> {
    let mut text = format!(
        "{:<8} {:<7} {:<22} {:<12} PODS IN\n",
        "NODE", "READY", "KUBELET", "ADDRESS"
    );
    for node in runtime()?.block_on(listed(folder))? {
        writeln!(text, "{}", node_line(&node))?;
    }
    Ok(text)
}

async fn listed(folder: &Folder) -> Result<Vec<Node>> {
    let nodes: Api<Node> = Api::all(crate::cluster::client(&folder.kubeconfig()).await?);
    Ok(nodes
        .list(&ListParams::default())
        .await
        .context("listing nodes")?
        .items)
}

fn line(program: &ProgramStatus, state: &State, upstream: &Path) -> String {
    let origin = origin(&program.binary, &state.ours, upstream);
    let usage = program
        .pid
        .and_then(|pid| Usage::of(pid).ok())
        .unwrap_or_default();
    let (rss, cpu) = (usage.resident, usage.processor.as_secs_f64());
    let pid = program.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!(
        "{:<26} {origin:<9} {pid:>8} {:>4} MiB {cpu:>6.1} s {:>6}  {}",
        program.instance,
        rss / 1024 / 1024,
        program.starts,
        program.last_exit.as_deref().unwrap_or("")
    )
}

fn origin(binary: &Path, ours: &Path, upstream: &Path) -> &'static str {
    match binary.parent() {
        Some(folder) if folder == ours => "ours",
        Some(folder) if folder == upstream => "upstream",
        _ => "?",
    }
}

fn node_line(node: &Node) -> String {
    let status = node.status.as_ref();
    let ready = status
        .and_then(|status| {
            status
                .conditions
                .as_ref()?
                .iter()
                .find(|condition| condition.type_ == "Ready")
        })
        .map_or("?", |condition| condition.status.as_str());
    let version = status
        .and_then(|status| Some(status.node_info.as_ref()?.kubelet_version.as_str()))
        .unwrap_or("?");
    let address = status
        .and_then(|status| {
            status
                .addresses
                .as_ref()?
                .iter()
                .find(|address| address.type_ == "InternalIP")
        })
        .map_or("?", |address| address.address.as_str());
    let ranges = node
        .spec
        .as_ref()
        .and_then(|spec| spec.pod_cidrs.clone())
        .unwrap_or_default()
        .join(", ");
    let name = node.metadata.name.as_deref().unwrap_or("?");
    format!("{name:<8} {ready:<7} {version:<22} {address:<12} {ranges}")
}
