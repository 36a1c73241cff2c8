//! `rig up`: from nothing to Ready nodes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::progress::Progress;
use super::wait::Wait;
use super::{addons, down, files, images, upstream};
use crate::assets::Assets;
use crate::machine::cgroup::Hierarchies;
use crate::machine::{links, preflight};
use crate::plan::address::{self, API_PORT, CONTROL_PLANE, node_name, node_names};
use crate::plan::choice::{Choices, Component, Origin, Use};
use crate::plan::site::Site;
use crate::plan::{config, mounts, program};
use crate::state::{Lock, Phase, State};
use crate::supervisor::client::Supervisor;
use crate::supervisor::protocol::Request;
use crate::supervisor::record::Record;

/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// What is wanted of a new rig.
pub struct Options {
    pub site: Site,
    /// Upstream's programs and images, made already.
    pub assets: Assets,
    /// The `rig` program, which becomes the supervisor.
    pub rig: PathBuf,
    pub nodes: u8,
    pub uses: Vec<Use>,
}

/// Makes the rig and waits until all of it works. What was made stays if it fails, to be looked at; `rig down` removes it.
pub async fn up(options: &Options, progress: Progress) -> Result<State> {
    let site = &options.site;
    let choices = check(site, &options.uses, options.nodes)?;
    let archives = upstream::archives(&options.assets)?;
    let _lock = Lock::take(&site.folder)?;
    clear_way(site, progress)?;

    let id = site.folder.id();
    let mut state = State {
        phase: Phase::Starting,
        nodes: options.nodes,
        choices,
        port: free_port(site)?,
        cgroup: id.cgroup(),
        ours: site.ours.clone(),
        id,
    };
    state.write(&site.folder)?;
    make_cgroups(site, options.nodes)?;
    upstream::gather(&site.folder, &options.assets)?;
    files::write(site, options.nodes, state.port)?;
    let mut supervisor = Supervisor::start(&site.folder, &options.rig, &site.supervisor_cgroup())?;
    let machines = make_machines(site, &mut supervisor, &state)?;
    progress.say(&format!(
        "machines are there: {}",
        machines.keys().cloned().collect::<Vec<_>>().join(", ")
    ));

    let registry = program::registry(site, &options.rig, &options.assets.images_folder());
    for instance in [program::etcd(site), program::apiserver(site), registry] {
        supervisor.start_program(instance)?;
    }
    let nodes = node_names(options.nodes);
    for node in &nodes {
        supervisor.start_program(program::containerd(site, node))?;
    }
    let imports = import_images(site, &machines, &nodes, &archives);
    api_ready(site, &mut supervisor).await?;
    progress.say("etcd and kube-apiserver are ready");

    for component in [Component::Controllers, Component::Scheduler] {
        start(site, &mut supervisor, &state, component, CONTROL_PLANE)?;
    }
    supervisor.order(&Request::PodNetwork {
        kubeconfig: site.folder.component_kubeconfig("admin"),
    })?;
    for import in imports {
        import
            .join()
            .map_err(|_| anyhow!("importing images panicked"))??;
    }
    progress.say(&format!("{} images are on each node", archives.len()));
    for node in &nodes {
        start(site, &mut supervisor, &state, Component::Kubelet, node)?;
        start(site, &mut supervisor, &state, Component::Proxy, node)?;
    }
    addons::apply(site)?;
    nodes_ready(site, &mut supervisor, options.nodes).await?;
    progress.say(&format!("{} nodes are Ready", options.nodes));
    dns_ready(site, &mut supervisor, &nodes).await?;
    progress.say("CoreDNS is rolled out");
    state.phase = Phase::Up;
    state.write(&site.folder)?;
    Ok(state)
}

/// Whether a rig can be had, before anything is made: what [`up`] would refuse. Upstream's programs may take a quarter of
/// an hour to make.
pub fn check(site: &Site, uses: &[Use], nodes: u8) -> Result<Choices> {
    preflight::check(site)?;
    let choices = Choices::new(uses, nodes)?;
    check_programs(site, &choices, nodes)?;
    Ok(choices)
}

fn check_programs(site: &Site, choices: &Choices, nodes: u8) -> Result<()> {
    let ours = |component: &Component| {
        let mut machines = if component.on_nodes() {
            node_names(nodes)
        } else {
            vec![CONTROL_PLANE.to_owned()]
        };
        machines.retain(|machine| choices.origin(*component, machine) == Origin::Ours);
        !machines.is_empty()
    };
    let wanted = Component::ALL
        .into_iter()
        .filter(ours)
        .map(|component| site.binary(component, Origin::Ours));
    let missing: String = wanted
        .filter(|path| !path.exists())
        .map(|path| format!("\n  {}", path.display()))
        .collect();
    if !missing.is_empty() {
        bail!(
            "programs of ours are not there; `make build` makes them, --bin-dir says where else they are:{missing}"
        );
    }
    Ok(())
}

/// Refuses to touch a rig that is up, and removes what one left that died or never came up.
fn clear_way(site: &Site, progress: Progress) -> Result<()> {
    let folder = &site.folder;
    let Some(state) = State::read(folder)? else {
        return Ok(());
    };
    let alive = Record::read(&folder.supervisor_record())?
        .supervisor
        .is_some_and(|supervisor| supervisor.alive());
    if alive && state.phase == Phase::Up {
        bail!(
            "a rig is up already in {}: `rig status` shows it, `rig down` ends it",
            folder.root().display()
        );
    }
    progress.say("removing what an earlier rig left");
    down::remove(folder)
}

fn free_port(site: &Site) -> Result<u16> {
    let id = site.folder.id();
    (0..100)
        .map(|attempt| id.port(attempt))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no loopback port is free for the API server")
}

fn make_cgroups(site: &Site, nodes: u8) -> Result<()> {
    let hierarchies = Hierarchies::find()?;
    hierarchies.make(&site.supervisor_cgroup())?;
    hierarchies.make(&site.programs_cgroup(CONTROL_PLANE))?;
    for node in node_names(nodes) {
        hierarchies.make(&site.programs_cgroup(&node))?;
        hierarchies.make(&site.pods_cgroup(&node))?;
    }
    Ok(())
}

/// Machines, cables and the way from the host's loopback to the API server.
fn make_machines(site: &Site, supervisor: &mut Supervisor, state: &State) -> Result<BTreeMap<String, u32>> {
    let names = std::iter::once(CONTROL_PLANE.to_owned()).chain(node_names(state.nodes));
    for name in names {
        supervisor.order(&Request::Machine(mounts::machine(site, &name, state.nodes)))?;
    }
    let machines = machines(site)?;
    let first = |name: &str| {
        machines
            .get(name)
            .copied()
            .with_context(|| format!("machine {name} is not there"))
    };
    let control_plane = first(CONTROL_PLANE)?;
    links::batch(control_plane, config::control_plane_links())?;
    for number in 1..=state.nodes {
        let node = first(&node_name(number))?;
        links::batch(control_plane, config::cable(number, node))?;
        links::batch(node, config::node_links(number))?;
    }
    let to = SocketAddr::from((address::control_plane().v4, API_PORT));
    supervisor.order(&Request::Forward {
        machine: CONTROL_PLANE.to_owned(),
        port: state.port,
        to,
    })?;
    Ok(machines)
}

/// First process of each machine of the rig.
pub fn machines(site: &Site) -> Result<BTreeMap<String, u32>> {
    let record = Record::read(&site.folder.supervisor_record())?;
    Ok(record
        .machines
        .into_iter()
        .map(|(name, first)| (name, first.pid))
        .collect())
}

type Import = std::thread::JoinHandle<Result<()>>;

fn import_images(
    site: &Site,
    machines: &BTreeMap<String, u32>,
    nodes: &[String],
    archives: &[PathBuf],
) -> Vec<Import> {
    nodes
        .iter()
        .filter_map(|node| Some((node.clone(), *machines.get(node)?)))
        .map(|(node, machine)| {
            let (site, archives) = (site.clone(), archives.to_vec());
            std::thread::spawn(move || images::import(&site, &node, machine, &archives))
        })
        .collect()
}

fn start(
    site: &Site,
    supervisor: &mut Supervisor,
    state: &State,
    component: Component,
    machine: &str,
) -> Result<()> {
    let origin: Origin = state.choices.origin(component, machine);
    supervisor.start_program(program::component(site, component, origin, machine))
}

async fn api_ready(site: &Site, supervisor: &mut Supervisor) -> Result<()> {
    let programs = ["etcd".to_owned(), "kube-apiserver".to_owned()];
    let wait = Wait {
        what: "kube-apiserver is ready",
        patience: Duration::from_secs(180),
        pause: PAUSE,
        programs: &programs,
    };
    let client = super::client(&site.folder.kubeconfig()).await?;
    wait.until(supervisor, || ready(&client)).await
}

async fn ready(client: &kube::Client) -> Result<(), String> {
    let request = http::Request::get("/readyz")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    client
        .request_text(request)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Waits until `count` nodes are Ready.
pub async fn nodes_ready(site: &Site, supervisor: &mut Supervisor, count: u8) -> Result<()> {
    let mut programs = vec!["kube-controller-manager".to_owned()];
    for node in node_names(count) {
        programs.extend([format!("containerd@{node}"), format!("kubelet@{node}")]);
    }
    let what = format!("{count} nodes are Ready");
    let wait = Wait {
        what: &what,
        patience: Duration::from_secs(120),
        pause: PAUSE,
        programs: &programs,
    };
    let nodes: Api<Node> = Api::all(super::client(&site.folder.kubeconfig()).await?);
    wait.until(supervisor, || async {
        let list = nodes
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let unready: Vec<String> = node_names(count)
            .into_iter()
            .filter(|name| !list.items.iter().any(|node| is_ready(node, name)))
            .collect();
        if unready.is_empty() {
            Ok(())
        } else {
            Err(format!("{} not Ready", unready.join(", ")))
        }
    })
    .await
}

fn is_ready(node: &Node, name: &str) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    node.metadata.name.as_deref() == Some(name)
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn dns_ready(site: &Site, supervisor: &mut Supervisor, nodes: &[String]) -> Result<()> {
    let mut programs = vec!["kube-controller-manager".to_owned(), "kube-scheduler".to_owned()];
    for node in nodes {
        programs.extend([format!("kubelet@{node}"), format!("kube-proxy@{node}")]);
    }
    let wait = Wait {
        what: "CoreDNS is rolled out",
        patience: Duration::from_secs(120),
        pause: PAUSE,
        programs: &programs,
    };
    let deployments: Api<Deployment> =
        Api::namespaced(super::client(&site.folder.kubeconfig()).await?, "kube-system");
    wait.until(supervisor, || async {
        let status = deployments
            .get("coredns")
            .await
            .map_err(|error| error.to_string())?
            .status
            .unwrap_or_default();
        let (available, updated) = (
            status.available_replicas.unwrap_or(0),
            status.updated_replicas.unwrap_or(0),
        );
        if available >= 2 && updated >= 2 {
            Ok(())
        } else {
            Err(format!("{available} of 2 replicas are available"))
        }
    })
    .await
}

/// What to do with a rig that is up, with paths as they look from `here`.
pub fn guide(site: &Site, rig: &Path, state: &State, here: &Path) -> String {
    let kubeconfig = site.folder.kubeconfig();
    let rig = rig.strip_prefix(here).unwrap_or(rig).display();
    let lines = [
        (format!("export KUBECONFIG={}", kubeconfig.display()), ""),
        ("kubectl get pods -A".to_owned(), "any kubectl will do"),
        (
            format!("{rig} kubectl -- get pods -A"),
            "or this one, of the cluster's version",
        ),
        (format!("{rig} status"), "what runs, whose it is, what it takes"),
        (format!("{rig} swap kubelet upstream --node n1"), "and back: ours"),
        (format!("{rig} logs kubelet --node n1"), ""),
        (format!("{rig} exec n1 -- ip addr"), "a command on a node"),
        (format!("{rig} down"), "leaves nothing behind"),
    ];
    let width = lines
        .iter()
        .map(|(line, _)| line.len())
        .filter(|width| *width < 60)
        .max()
        .unwrap_or_default();
    let lines = lines
        .iter()
        .map(|(line, remark)| format!("  {line:<width$}  {remark}").trim_end().to_owned() + "\n");
    format!(
        "\nThe cluster is up: https://127.0.0.1:{}\n\n{}",
        state.port,
        lines.collect::<String>()
    )
}
