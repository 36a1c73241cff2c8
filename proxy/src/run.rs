//! From the command line to a running proxy.

use crate::config::{self, Config, File, PROGRAM, overlay};
use crate::metrics::Metrics;
use crate::model::Family;
use crate::nft::Kernel;
use crate::sync::{Proxier, Watches, ipv6_enabled};
use crate::{conntrack, health};
use anyhow::{Context, bail};
use jiff::Timestamp;
use machinery::client::{self, Client};
use machinery::component::flags::Flags;
use machinery::component::logging::{LogFormat, Logging};
use machinery::component::runtime::block_on;
use machinery::component::shutdown::on_signal;
use machinery::events::{EventType, Recorder};
use machinery::meta::ObjectRef;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs the program.
///
/// # Errors
/// Bad flags or configuration, and what keeps the proxy from starting.
pub fn main() -> anyhow::Result<()> {
    let flags = PROGRAM.parse()?;
    let mut file = load(&flags)?;
    logging(&file)?.start();
    flags
        .warnings()
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    if flags.boolean("cleanup").unwrap_or(false) {
        return cleanup();
    }
    file.complete();
    if let Some(path) = flags.non_empty("write-config-to") {
        return write_config(&file, Path::new(path));
    }
    let config = Config::new(&file).map_err(|wrong| {
        let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration cannot be used: {}", all.join("; "))
    })?;
    for gate in config.gates.unused(&[]) {
        tracing::warn!("feature gate {gate} has no effect: this kube-proxy has nothing that it would switch");
    }
    prepare_host(&config);
    if flags.boolean("init-only").unwrap_or(false) {
        Kernel::open()?;
        tracing::info!("kernel settings are done, and --init-only was given");
        return Ok(());
    }
    let client = client_config(&config, &flags)?;
    let configz = configz(&file);
    block_on(serve(config, client, configz))
}

fn load(flags: &Flags) -> anyhow::Result<File> {
    let mut file = match flags.non_empty("config") {
        Some(path) => machinery::component::config::load(Path::new(path), config::API_VERSION, config::KIND)?,
        None => File::default(),
    };
    overlay(&mut file, flags)?;
    Ok(file)
}

fn logging(file: &File) -> anyhow::Result<Logging> {
    let logging = file.logging.clone().unwrap_or_default();
    let format = match logging.format.as_deref() {
        None | Some("" | "text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => bail!("logging.format: {other:?} is neither text nor json"),
    };
    Ok(Logging {
        verbosity: logging.verbosity.unwrap_or(0),
        format,
    })
}

/// Removes both families' tables, whoever made them.
fn cleanup() -> anyhow::Result<()> {
    let mut kernel = Kernel::open()?;
    for family in Family::ALL {
        kernel
            .delete_table(family)
            .with_context(|| format!("removing the {family} rules of kube-proxy"))?;
    }
    Ok(())
}

fn configz(file: &File) -> serde_json::Value {
    let mut value = serde_json::to_value(file).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".into(), config::API_VERSION.into());
        fields.insert("kind".into(), config::KIND.into());
    }
    serde_json::json!({ "kubeproxy.config.k8s.io": value })
}

fn write_config(file: &File, path: &Path) -> anyhow::Result<()> {
    let document = &configz(file)["kubeproxy.config.k8s.io"];
    let text = serde_saphyr::to_string(document).context("writing the configuration as YAML")?;
    std::fs::write(path, text).with_context(|| format!("writing the configuration to {}", path.display()))?;
    tracing::info!(path = %path.display(), "wrote the configuration");
    Ok(())
}

/// Kernel settings. What cannot be set is told and left: `/proc` is read-only in most containers.
fn prepare_host(config: &Config) {
    let score = config.oom_score_adj;
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        tracing::debug!(score, %error, "setting oom_score_adj");
    }
    let cpus = rustix::thread::sched_getaffinity(None).map_or(1, |cpus| cpus.count());
    for sysctl in conntrack::settings(&config.conntrack, cpus) {
        match conntrack::apply(&sysctl) {
            Ok(true) => tracing::info!(path = %sysctl.path.display(), value = sysctl.value, "set"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = %sysctl.path.display(), value = sysctl.value, %error, "a kernel setting stays as it is");
            }
        }
    }
}

fn client_config(config: &Config, flags: &Flags) -> anyhow::Result<client::Config> {
    let master = flags.non_empty("master");
    let mut client = match (&config.kubeconfig, master) {
        (None, Some(master)) => client::Config::explicit(master)?,
        (path, _) => client::Config::from_kubeconfig_or_cluster(path.as_deref())?,
    };
    if let Some(master) = master {
        client.server = client::Config::explicit(master)?.server;
    }
    if let Some((qps, burst)) = config.cap {
        client = client.with_cap(qps, burst);
    }
    Ok(client.with_component("kube-proxy"))
}

fn node_name(config: &Config) -> String {
    let of_host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    config
        .hostname_override
        .clone()
        .unwrap_or_else(of_host)
        .trim()
        .to_lowercase()
}

async fn serve(config: Config, client: client::Config, configz: serde_json::Value) -> anyhow::Result<()> {
    let stop = on_signal()?;
    machinery::metrics::register_build_info();
    let metrics = Metrics::register();
    let client = Client::new(client)?;
    let name = node_name(&config);
    let families: Vec<Family> = Family::ALL
        .into_iter()
        .filter(|family| *family == Family::Ipv4 || ipv6_enabled())
        .collect();
    tracing::info!(
        version = machinery::component::version::KUBERNETES,
        node = name,
        ?families,
        "kube-proxy"
    );

    let health: health::Shared = Arc::new(Mutex::new(health::Health::new(config.sync_period * 2)));
    let recorder = Recorder::series(&client, "kube-proxy", &name, &stop);
    let node = ObjectRef {
        kind: "Node".into(),
        name: name.as_str().into(),
        api_version: "v1".into(),
        ..ObjectRef::default()
    };
    serve_http(&config, &health, &metrics, configz, &recorder, &node, &stop)?;

    let watches = Watches::start(&client, &name, &stop);
    let proxier = Proxier::new(config, name, &families, watches, health.clone(), metrics, &stop)?;
    let now = Timestamp::now();
    families
        .iter()
        .for_each(|family| health.lock().updated(*family, now));
    recorder.event(&node, EventType::Normal, "Starting", "StartKubeProxy", "");
    proxier.run(stop).await;
    Ok(())
}

fn serve_http(
    config: &Config,
    health: &health::Shared,
    metrics: &Metrics,
    configz: serde_json::Value,
    recorder: &Recorder,
    node: &ObjectRef,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let ports = [
        (
            "health",
            config.healthz,
            health::proxy_router(health, metrics),
            "FailedToStartProxierHealthcheck",
        ),
        (
            "metrics",
            config.metrics,
            health::metrics_router(configz),
            "FailedToStartMetricServer",
        ),
    ];
    for (what, address, router, reason) in ports {
        let Some(address) = address else { continue };
        health::serve_until(what, address, router, config.bind_hard_fail, stop).inspect_err(|error| {
            recorder.event(
                node,
                EventType::Warning,
                reason,
                "StartKubeProxy",
                error.to_string(),
            );
        })?;
    }
    Ok(())
}
