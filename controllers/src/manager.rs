//! Starts the controllers that are asked for, and ends them together.
//!
//! ```text
//! flags -> config -> client -> serving (10257) -> lead (kube-system/kube-controller-manager) -> controllers on shared caches
//! ```

use crate::caches::Caches;
use crate::clients::Clients;
use crate::config::Config;
use crate::context::Context;
use crate::events::Events;
use crate::names::{self, Selection};
use anyhow::Context as _;
use futures::future::BoxFuture;
use machinery::client::Client;
use machinery::component::secure::Secure;
use machinery::component::serving::{Health, standard};
use machinery::component::shutdown;
use machinery::events::Recorder;
use machinery::lease::{Election, Ended, LeaderElector, identity};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const COMPONENT: &str = "kube-controller-manager";
/// How long after a lease ended a leader that still thinks it leads counts as healthy.
const TOLERANCE: Duration = Duration::from_secs(20);

/// A controller that we have.
struct Here {
    name: &'static str,
    /// The service account that upstream's acts under, and whose rights it needs.
    account: &'static str,
    run: fn(Context) -> BoxFuture<'static, ()>,
}

/// Boxes a controller's `run`.
macro_rules! here {
    ($name:literal, $account:literal, $run:path) => {
        Here {
            name: $name,
            account: $account,
            run: |context| Box::pin($run(context)),
        }
    };
}

const HERE: &[Here] = &[
    here!(
        "endpointslice-controller",
        "endpointslice-controller",
        crate::endpointslice::sync::run
    ),
    here!(
        "serviceaccount-controller",
        "service-account-controller",
        crate::serviceaccount::sync::run
    ),
    here!(
        "garbage-collector-controller",
        "generic-garbage-collector",
        crate::garbagecollector::sync::run
    ),
    here!(
        "deployment-controller",
        "deployment-controller",
        crate::deployment::sync::run
    ),
    here!(
        "replicaset-controller",
        "replicaset-controller",
        crate::replicaset::sync::run
    ),
    here!(
        "replicationcontroller-controller",
        "replication-controller",
        crate::replicaset::sync::run_replication_controllers
    ),
    here!(
        "resourcequota-controller",
        "resourcequota-controller",
        crate::resourcequota::sync::run
    ),
    here!("job-controller", "job-controller", crate::job::sync::run),
    here!(
        "cronjob-controller",
        "cronjob-controller",
        crate::cronjob::sync::run
    ),
    here!(
        "ttl-after-finished-controller",
        "ttl-after-finished-controller",
        crate::ttlafterfinished::sync::run
    ),
    here!(
        "namespace-controller",
        "namespace-controller",
        crate::namespace::sync::run
    ),
    here!(
        "endpoints-controller",
        "endpoint-controller",
        crate::endpoints::sync::run
    ),
    here!(
        "pod-garbage-collector-controller",
        "pod-garbage-collector",
        crate::podgc::sync::run
    ),
    here!(
        "node-ipam-controller",
        "node-controller",
        crate::nodeipam::sync::run
    ),
    here!(
        "node-lifecycle-controller",
        "node-controller",
        crate::nodelifecycle::sync::run
    ),
    here!(
        "taint-eviction-controller",
        "node-controller",
        crate::nodelifecycle::eviction::sync::run
    ),
    here!(
        "daemonset-controller",
        "daemon-set-controller",
        crate::daemonset::sync::run
    ),
    here!(
        "statefulset-controller",
        "statefulset-controller",
        crate::statefulset::sync::run
    ),
    here!(
        "disruption-controller",
        "disruption-controller",
        crate::budget::sync::run
    ),
    here!(
        "endpointslice-mirroring-controller",
        "endpointslicemirroring-controller",
        crate::mirror::sync::run
    ),
    here!(
        "persistentvolume-binder-controller",
        "persistent-volume-binder",
        crate::pvbinder::sync::run
    ),
    here!(
        "persistentvolumeclaim-protection-controller",
        "pvc-protection-controller",
        crate::pvcprotection::sync::run
    ),
    here!(
        "persistentvolume-protection-controller",
        "pv-protection-controller",
        crate::pvprotection::sync::run
    ),
    here!(
        "volumeattributesclass-protection-controller",
        "volumeattributesclass-protection-controller",
        crate::vacprotection::sync::run
    ),
    here!(
        "ephemeral-volume-controller",
        "ephemeral-volume-controller",
        crate::ephemeral::sync::run
    ),
    here!(
        "certificatesigningrequest-approving-controller",
        "certificate-controller",
        crate::certificates::sync::approve
    ),
    here!(
        "certificatesigningrequest-cleaner-controller",
        "certificate-controller",
        crate::certificates::sync::clean
    ),
    here!(
        "clusterrole-aggregation-controller",
        "clusterrole-aggregation-controller",
        crate::clusterrole::sync::run
    ),
    here!(
        "serviceaccount-token-controller",
        "service-account-controller", // it acts as the manager itself
        crate::accounttoken::sync::run
    ),
    here!(
        "root-ca-certificate-publisher-controller",
        "root-ca-cert-publisher",
        crate::rootca::sync::run
    ),
];

/// Which controllers `--controllers` starts.
///
/// # Errors
/// See [`names::select`].
pub fn selection(config: &Config) -> Result<Selection, names::Refused> {
    let here: Vec<_> = HERE.iter().map(|here| here.name).collect();
    let words: Vec<_> = config.controllers.iter().map(String::as_str).collect();
    let mut selection = names::select(&words, &here)?;
    if !config.enable_garbage_collector {
        selection
            .start
            .retain(|name| *name != "garbage-collector-controller");
    }
    Ok(selection)
}

/// Whether the settings of the selected controllers make sense: better said at once than in a log when the first node comes.
///
/// # Errors
/// See [`names::select`] and [`Invalid`](crate::nodeipam::settings::Invalid).
pub fn check(config: &Config) -> anyhow::Result<()> {
    let selection = selection(config)?;
    if config.node_ipam.allocate_node_cidrs && selection.start.contains(&"node-ipam-controller") {
        crate::nodeipam::settings::pools(&config.node_ipam)?;
    }
    Ok(())
}

/// Runs until a signal, or until leadership is lost.
///
/// # Errors
/// The API server's address or credentials, or the port to serve on, cannot be used, or leadership was lost.
pub async fn run(config: Config, secure: Secure) -> anyhow::Result<()> {
    let selection = selection(&config)?;
    machinery::metrics::register_build_info();
    let client = base_client(&config)?;
    let stop = shutdown::on_signal().context("installing signal handlers")?;
    let recorder = Recorder::core(&client, COMPONENT, "", &stop);
    let elector = config
        .leader_election
        .leader_elect
        .then(|| Arc::new(elector(&config, &client, recorder)));

    let health = Health::default();
    if let Some(elector) = elector.clone() {
        health.add("leaderElection", move || elector.check(TOLERANCE));
    }
    let configz = serde_json::json!({ "kubecontrollermanager.config.k8s.io": config });
    secure
        .start(&client, standard(&health, Some(configz)), stop.clone())
        .await
        .context("serving")?;

    let timeout = config.controller_shutdown_timeout;
    let config = Arc::new(config);
    let lead = {
        let (client, stop) = (client.clone(), stop.clone());
        move |leading: CancellationToken| async move { lead(config, &client, &selection, &leading, &stop).await }
    };
    match elector {
        None => within(timeout, &stop, lead(stop.clone())).await,
        Some(elector) => {
            let limited = |leading: CancellationToken| async move {
                within(timeout, &leading, lead(leading.clone())).await
            };
            if elector.run(&stop, limited).await == Ended::Lost {
                anyhow::bail!(
                    "leadership was lost: another {COMPONENT} leads now, or the API server could not be reached for too long"
                );
            }
        }
    }
    Ok(())
}

/// Lets `work` go on until `stop`, and then for `timeout` at most.
async fn within(timeout: Duration, stop: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = async { stop.cancelled().await; tokio::time::sleep(timeout).await } => tracing::warn!("some controllers did not end in time"),
    }
}

fn base_client(config: &Config) -> anyhow::Result<Client> {
    use machinery::client::Config as ClientConfig;
    let mut client = match (&config.kubeconfig, &config.master) {
        (None, Some(master)) => ClientConfig::explicit(master)?,
        (path, _) => ClientConfig::from_kubeconfig_or_cluster(path.as_deref())?,
    };
    if let Some(master) = &config.master {
        client.server = ClientConfig::explicit(master)?.server;
    }
    if config.kube_api_qps.is_some() || config.kube_api_burst.is_some() {
        client = client.with_cap(
            config.kube_api_qps.unwrap_or(20.0),
            config.kube_api_burst.unwrap_or(30),
        );
    }
    Ok(Client::new(client.with_component(COMPONENT))?)
}

fn elector(config: &Config, client: &Client, recorder: Recorder) -> LeaderElector {
    let settings = &config.leader_election;
    let election = Election {
        lease_duration: settings.lease_duration,
        renew_deadline: settings.renew_deadline,
        retry_period: settings.retry_period,
        ..Election::new(&settings.resource_namespace, &settings.resource_name, identity())
    };
    LeaderElector::new(client, election).with_recorder(recorder)
}

/// Runs the selected controllers until `leading` ends.
async fn lead(
    config: Arc<Config>,
    client: &Client,
    selection: &Selection,
    leading: &CancellationToken,
    process: &CancellationToken,
) {
    if !selection.missing.is_empty() {
        tracing::warn!(
            missing = selection.missing.join(","),
            "these controllers of upstream's are not part of this program yet"
        );
    }
    let caches = Arc::new(Caches::new(client, leading));
    let clients = Clients::new(client, config.use_service_account_credentials);
    let mut running = JoinSet::new();
    for here in HERE.iter().filter(|here| selection.start.contains(&here.name)) {
        let (config, caches, clients, leading, process) = (
            config.clone(),
            caches.clone(),
            clients.clone(),
            leading.clone(),
            process.clone(),
        );
        running.spawn(async move {
            // Ends with `leading`: until then the API server may be out of reach.
            let Some(client) = leading
                .run_until_cancelled(clients.named(here.account, &leading))
                .await
            else {
                return here.name;
            };
            let events = Events::new(Recorder::core(&client, here.name, "", &process));
            tracing::info!(controller = here.name, "starting");
            (here.run)(Context {
                name: here.name,
                client,
                caches,
                events,
                config,
                stop: leading,
            })
            .await;
            here.name
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(name) if leading.is_cancelled() => tracing::debug!(controller = name, "ended"),
            Ok(name) => tracing::error!(controller = name, "ended early"),
            Err(panic) => tracing::error!("a controller ended early: {panic}"),
        }
    }
}
