//! Starts the parts and waits for a signal. Containers keep running when we go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use machinery::client::{Client, Config, Limits as Pace};
use machinery::component::flags::Flags;
use machinery::component::logging::{LogFormat, Logging};
use machinery::component::runtime::block_on;
use machinery::component::shutdown;
use machinery::events::Recorder;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cgroup::{Cgroups, Driver, Limits, Tree};
use crate::config::{self, KubeletConfig, Loaded, PROGRAM};
use crate::context::{Node, Paths};
use crate::cri::limits::NodeLimits;
use crate::cri::{self, Runtime, RuntimeState};
use crate::env::Environments;
use crate::image::Images;
use crate::ledger::Statics;
use crate::pod::dispatch::Dispatcher;
use crate::pod::resize::checkpoint::Allocations;
use crate::pod::shared::Shared;
use crate::volume::{Objects, Volumes};
use crate::{node, server, source};

/// The statuses of a hundred pods that start at once make the API server slower, and must still not wait for each other.
const PACE: Pace = Pace {
    start: 20.0,
    min: 8.0,
    max: 90.0,
};

/// The program's entry.
///
/// # Errors
/// When flags or configuration are wrong, or a part that is needed cannot start.
pub fn main() -> Result<()> {
    let flags = PROGRAM.parse()?;
    let loaded = config::load(&flags)?;
    let format = if loaded.config.logging.format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    Logging {
        verbosity: loaded.config.logging.verbosity,
        format,
    }
    .start();
    for warning in flags.warnings() {
        warn!("{warning}");
    }
    block_on(run(flags, loaded))
}

async fn run(flags: Flags, loaded: Loaded) -> Result<()> {
    let started = Timestamp::now();
    let stop = shutdown::on_signal().context("installing signal handlers")?;
    let tree = Tree::detect()?;
    if !tree.is_v2() && loaded.config.fail_cgroup_v1 {
        bail!(
            "this machine uses cgroup v1, which failCgroupV1 forbids: set failCgroupV1: false in the configuration, or \
             boot the machine with cgroup v2"
        );
    }
    lower_oom_score(loaded.config.oom_score_adj);
    let node = Arc::new(context(&flags, loaded, &stop)?);
    node::observe(&node)?;
    info!(node = %node.name, runtime = %node.cri.socket().display(), api = node.api.is_some(), "kubelet starts");

    let mut parts = tokio::task::JoinSet::new();
    parts.spawn(wrap(cri::health::run(Arc::clone(&node), stop.clone())));
    parts.spawn(wrap(node::run(Arc::clone(&node), stop.clone())));
    if node.config.enable_server {
        parts.spawn(server::run(Arc::clone(&node), stop.clone()));
    }
    parts.spawn(wrap(pods(Arc::clone(&node), tree, started, stop.clone())));
    while let Some(ended) = parts.join_next().await {
        ended.context("a part of the kubelet broke down")??;
    }
    Ok(())
}

async fn wrap(part: impl Future<Output = ()>) -> Result<()> {
    part.await;
    Ok(())
}

fn context(flags: &Flags, loaded: Loaded, stop: &CancellationToken) -> Result<Node> {
    let Loaded { config, caps_api } = loaded;
    let hostname = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .trim()
        .to_lowercase();
    let hostname_override = flags
        .text("hostname-override")
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let name: Arc<str> = if hostname_override.is_empty() {
        hostname.as_str().into()
    } else {
        hostname_override.as_str().into()
    };
    if name.is_empty() {
        bail!("the machine has no host name: set one, or use --hostname-override");
    }
    let root = PathBuf::from(flags.non_empty("root-dir").unwrap_or("/var/lib/kubelet"));
    let api = match flags.non_empty("kubeconfig") {
        None => None,
        Some(path) => Some(client(path, &config, caps_api)?),
    };
    let events = api.as_ref().map_or_else(Recorder::silent, |api| {
        Recorder::core(api, "kubelet", &name, stop)
    });
    let cri =
        Runtime::new(&config.container_runtime_endpoint)?.with_deadline(config.runtime_request_timeout.0);
    let labels = flags.map("node-labels")?.unwrap_or_default();
    let node_flags = node::Flags {
        node_ip: flags.text("node-ip").unwrap_or_default().to_owned(),
        hostname_override,
        node_labels: labels
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        external_cloud: flags.text("cloud-provider") == Some("external"),
        cert_dir: flags
            .non_empty("cert-dir")
            .unwrap_or("/var/lib/kubelet/pki")
            .into(),
    };
    Ok(Node {
        name,
        hostname: hostname.as_str().into(),
        paths: Paths {
            root,
            pod_logs: config.pod_logs_dir.clone().into(),
            container_logs: "/var/log/containers".into(),
        },
        config: Arc::new(config),
        flags: node_flags,
        api,
        cri,
        events,
        pods: Arc::default(),
        addresses: watch::Sender::default(),
        object: watch::Sender::default(),
        runtime: watch::Sender::new(RuntimeState::default()),
        pressure: watch::Sender::default(),
        capacity: watch::Sender::default(),
    })
}

fn client(path: &str, config: &KubeletConfig, caps_api: bool) -> Result<Client> {
    let mut settings = Config::from_kubeconfig(path)?.with_component("kubelet");
    if caps_api {
        #[allow(clippy::cast_precision_loss)]
        let qps = config.kube_api_qps as f32;
        settings = settings.with_cap(qps, u32::try_from(config.kube_api_burst).unwrap_or(1));
    }
    Ok(Client::with_limits(settings, PACE)?)
}

/// Pods: from the moment the runtime answers.
async fn pods(node: Arc<Node>, tree: Tree, started: Timestamp, stop: CancellationToken) {
    let mut runtime = node.runtime.subscribe();
    tokio::select! {
        () = stop.cancelled() => return,
        // `health` says once what is wrong, and keeps trying.
        _ = runtime.wait_for(|r| matches!(r.runtime, Some(Ok(())))) => {}
    }
    let cgroups = Cgroups::new(
        driver(&node).await,
        &node.config.cgroup_root,
        node.config.cgroups_per_qos,
        tree,
    );
    let capacity = node.capacity.borrow().clone();
    let whole = Limits {
        shares: i64::try_from(capacity.allocatable_cpu_millis)
            .ok()
            .map(crate::pod::resources::shares),
        memory: i64::try_from(capacity.memory).ok(),
        ..Limits::default()
    };
    if let Err(error) = cgroups.prepare(&whole) {
        warn!(%error, "making the control groups of pods: pods will not start until this is mended");
    }
    let limits = NodeLimits {
        cfs_quota: node.config.cpu_cfs_quota,
        cfs_period: i64::try_from(node.config.cpu_cfs_quota_period.0.as_micros()).unwrap_or(100_000),
        memory: capacity.memory,
        hugepage_sizes: capacity.hugepages.iter().map(|(size, _)| *size).collect(),
        cgroup2: cgroups.is_v2(),
        oom_kills_group: node.config.single_process_oom_kill == Some(false),
    };
    let allocations = Arc::new(Allocations::open(&node.paths.root));
    let written = tokio::spawn(Arc::clone(&allocations).keep_written(stop.clone()));
    let objects = Arc::new(Objects::new(node.api.clone()));
    let shared = Arc::new(Shared {
        volumes: Volumes::new(Arc::clone(&node), Arc::clone(&objects)),
        environments: Environments::new(Arc::clone(&node), objects),
        images: Images::new(Arc::clone(&node)),
        cgroups,
        allocations: Arc::clone(&allocations),
        limits,
        started,
        calm: Arc::default(),
        handlers: parking_lot::Mutex::default(),
        node: Arc::clone(&node),
    });
    let (inputs, mailbox) = mpsc::unbounded_channel();
    if let Some(api) = node.api.clone() {
        tokio::spawn(source::api::run(
            api,
            Arc::clone(&node.name),
            inputs.clone(),
            stop.clone(),
        ));
    }
    if !node.config.static_pod_path.is_empty() {
        let lists = tokio::try_join!(node.cri.sandboxes(None), node.cri.containers(None));
        let (sandboxes, containers) = lists.unwrap_or_default();
        let ledger = Statics::open(&node.paths.root, &sandboxes, &containers);
        tokio::spawn(source::file::run(
            Arc::clone(&node),
            ledger,
            inputs.clone(),
            stop.clone(),
        ));
    }
    tokio::spawn(cri::events::run(Arc::clone(&node), inputs.clone(), stop.clone()));
    tokio::spawn(crate::pod::rotate::run(Arc::clone(&node), stop.clone()));
    Dispatcher::new(shared, inputs).run(mailbox, stop).await;
    // The last changes are written before we end.
    let _ = written.await;
}

/// The runtime knows best which driver it uses.
async fn driver(node: &Node) -> Driver {
    let asked = tokio::time::timeout(Duration::from_secs(5), node.cri.runtime_config()).await;
    let said = match asked {
        Ok(Ok(answer)) => answer.linux.map(|l| l.cgroup_driver),
        _ => None,
    };
    let configured = if node.config.cgroup_driver == "systemd" {
        Driver::Systemd
    } else {
        Driver::Cgroupfs
    };
    let driver = match said.and_then(|d| cri::api::CgroupDriver::try_from(d).ok()) {
        Some(cri::api::CgroupDriver::Systemd) => Driver::Systemd,
        Some(cri::api::CgroupDriver::Cgroupfs) => Driver::Cgroupfs,
        None => configured,
    };
    if driver != configured {
        info!(
            ?driver,
            ?configured,
            "the container runtime uses another cgroup driver than cgroupDriver says: its own counts"
        );
    }
    driver
}

/// Not every place lets us lower it; nothing hangs on it.
fn lower_oom_score(score: i32) {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        tracing::debug!(score, %error, "oom_score_adj");
    }
}
