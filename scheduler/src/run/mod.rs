//! The program around the core: flags, watches, leader election, the loop, the secure port.
//!
//! ```text
//! watches -> Scheduler (behind a lock that is never held across a wait) -> drive: attempts
//!                ^                                                          | binds, conditions, events: tasks
//!                +---------------------- bound / not bound <----------------+
//! ```

mod drive;
pub mod flags;
mod metrics;
mod report;
mod shared;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use machinery::client::{Client, Config};
use machinery::component::flags::Flags;
use machinery::component::logging::Logging;
use machinery::component::runtime;
use machinery::component::secure::Secure;
use machinery::component::serving::{self, Health};
use machinery::component::shutdown;
use machinery::events::Recorder;
use machinery::lease::{Election, Ended, LeaderElector, identity};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bind::DefaultBinder;
use crate::config::{self, Configuration};
use crate::core::Scheduler;
use crate::framework::registry::Registry;
use crate::plugins;
use crate::queue::Backoff;

pub use flags::PROGRAM;
use shared::Shared;

/// The port that upstream's scheduler serves on.
const PORT: u16 = 10259;

/// The program, with the plugins of the tree.
pub fn main() -> ExitCode {
    main_with(plugins::registry())
}

/// The program, with plugins of your own in `registry` beside [`plugins::registry`]'s.
pub fn main_with(registry: Registry) -> ExitCode {
    let flags = match PROGRAM.parse() {
        Ok(flags) => flags,
        Err(exit) => {
            exit.print();
            return ExitCode::from(exit.code);
        }
    };
    runtime::exit(runtime::block_on(start(flags, registry)))
}

async fn start(flags: Flags, mut registry: Registry) -> anyhow::Result<()> {
    Logging::from_flags(&flags)?.start();
    for warning in flags.warnings() {
        warn!("{warning}");
    }
    let mut config = flags::configuration(&flags)?;
    config.complete();
    config.check()?;
    // Profiles are made before anything is reached, so that a wrong configuration is told at once.
    registry.enter("DefaultBinder", |_| Ok(Arc::new(DefaultBinder::unconnected())));
    config::frameworks(&config, &registry)?;
    anyhow::ensure!(
        config.extenders.is_empty(),
        "extenders: HTTP extenders are not supported yet; leave them out"
    );
    if let Some(path) = flags.non_empty("write-config-to") {
        return flags::write_configuration(&config, Path::new(path));
    }
    let secure = Secure::from_flags(&flags, PORT)?;
    let patience = flags
        .duration("pod-max-in-unschedulable-pods-duration")?
        .unwrap_or(Duration::from_secs(300));
    let client = client(&flags, &config)?;
    let stop = shutdown::on_signal()?;
    machinery::metrics::register_build_info();

    let binder = client.clone();
    registry.enter("DefaultBinder", move |_| {
        Ok(Arc::new(DefaultBinder::new(&binder)))
    });
    let frameworks = config::frameworks(&config, &registry)?;
    let backoff = Backoff {
        initial: Duration::from_secs(config.pod_initial_backoff_seconds.unsigned_abs()),
        max: Duration::from_secs(config.pod_max_backoff_seconds.unsigned_abs()),
    };
    let seed = u64::from(std::process::id()) ^ jiff::Timestamp::now().as_nanosecond() as u64;
    let shared = Shared::new(Scheduler::new(frameworks.clone(), backoff, patience, seed));
    metrics::observe(&shared);

    let host = identity().split('_').next().unwrap_or_default().to_owned();
    let recorders = frameworks
        .iter()
        .map(|framework| {
            (
                framework.name.clone(),
                Recorder::series(&client, &framework.name, &host, &stop),
            )
        })
        .collect();
    let reporter = report::Reporter::new(&client, recorders);
    let health = Health::default();
    let configz = serde_json::json!({ "kubescheduler.config.k8s.io": config });
    let elector = Arc::new(elector(&client, &config));
    if config.leader_election.leader_elect {
        let elector = elector.clone();
        health.add("leaderElection", move || elector.check(Duration::from_secs(20)));
    }
    secure
        .start(&client, serving::standard(&health, Some(configz)), stop.clone())
        .await?;

    let watches = if config.delay_cache_until_active && config.leader_election.leader_elect {
        None
    } else {
        Some(watch::start(&client, &shared, &stop))
    };
    let drive = {
        let (client, shared, stop) = (client.clone(), shared.clone(), stop.clone());
        move |leading: CancellationToken| async move {
            let watches = watches.unwrap_or_else(|| watch::start(&client, &shared, &stop));
            watches.synced().await;
            info!("scheduling");
            drive::run(shared, frameworks, reporter, leading).await;
        }
    };
    if !config.leader_election.leader_elect {
        drive(stop.clone()).await;
        return Ok(());
    }
    match elector.run(&stop, drive).await {
        Ended::Lost => anyhow::bail!("leader election lost"),
        _ => Ok(()),
    }
}

fn client(flags: &Flags, config: &Configuration) -> anyhow::Result<Client> {
    let connection = &config.client_connection;
    let path = (!connection.kubeconfig.is_empty()).then(|| Path::new(&connection.kubeconfig));
    let master = flags.non_empty("master");
    let mut access = match (path, master) {
        (None, Some(master)) => Config::explicit(master)?,
        (path, master) => {
            let mut access = Config::from_kubeconfig_or_cluster(path)?;
            if let Some(master) = master {
                access.server = Config::explicit(master)?.server;
            }
            access
        }
    };
    access = access.with_component("kube-scheduler");
    if let Some(qps) = connection.qps {
        access = access.with_cap(qps, connection.burst.unwrap_or(100));
    }
    Client::new(access).context("making the API client")
}

fn elector(client: &Client, config: &Configuration) -> LeaderElector {
    let settings = &config.leader_election;
    let mut election = Election::new(&settings.resource_namespace, &settings.resource_name, identity());
    election.lease_duration = settings.lease_duration.0;
    election.renew_deadline = settings.renew_deadline.0;
    election.retry_period = settings.retry_period.0;
    LeaderElector::new(client, election)
}
