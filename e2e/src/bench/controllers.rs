//! The controller manager on a bare control plane: how fast a Deployment's pods come to be, and at whose expense.
//!
//! ```text
//! default settings: start -> warm-up -> idle memory -> Deployment of 300
//! no client limit:  start -> warm-up -> Deployment of 1,000 -> memory
//! ```
//! Pods have nowhere to run and stay Pending: it is their making that is measured.

mod bystander;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use machinery::client::ListOptions;
use machinery::meta::resources::{DEPLOYMENTS, PODS};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::meter::Bounds;
use super::plane::Plane;
use super::rounds::Rounds;
use super::table::{Better, Table, Target};
use super::watch::{Named, Watch};
use crate::assets::Image;
use crate::cluster::progress::Progress;
use crate::plan::choice::{Component, Origin};
use bystander::Bystander;

const COMPONENT: Component = Component::Controllers;
const NAMESPACE: &str = "bench";
const MEMORY: &str = "memory";
const RATE: &str = "pods/s";
const REFUSED: &str = "requests refused (429)";
const OTHERS: &str = "others' reads, 99th percentile, ms";
const IDLE: &str = "RSS idle, MiB";

/// A Deployment's pods are all there within this.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long somebody else's read may take while a Deployment is made: a tenth of upstream's own objective.
const SLOW: f64 = 100.0;
/// So few refusals are no storm.
const FEW: f64 = 10.0;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Replicas with default settings, and without a client limit.
    limited: usize,
    unlimited: usize,
    settle: Duration,
}

impl Plan {
    pub fn scaled(scale: f64) -> Self {
        Self {
            limited: super::scaled(300, scale),
            unlimited: super::scaled(1000, scale),
            settle: Duration::from_secs(if scale < 1.0 { 1 } else { 4 }),
        }
    }

    fn cases(&self) -> [String; 2] {
        [
            format!("Deployment of {}, default settings", self.limited),
            format!("Deployment of {}, no client limit", self.unlimited),
        ]
    }

    fn after(&self) -> String {
        format!("RSS after the Deployment of {}, MiB", self.unlimited)
    }
}

/// Measures both sides' programs; `ours` is the folder of our programs.
pub async fn measure(ours: &Path, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let mut table = declared(&plan);
    rounds
        .run(&mut table, "controllers", progress, async |table, origin, _| {
            side(ours, plan, table, origin).await
        })
        .await;
    Ok(table)
}

fn declared(plan: &Plan) -> Table {
    let mut table = Table::new(
        "Controllers",
        "A bare control plane for each side and round, without nodes: pods are made and stay Pending. From the Deployment's \
         creation to the last pod's. All controllers run, with the same flags on both sides. Meanwhile somebody without \
         special rights reads an object every 20 ms.",
    );
    let [limited, unlimited] = plan.cases();
    table.declare(&limited, RATE, Better::Higher, &[Target::Ratio(20.0)]);
    table.declare(&limited, REFUSED, Better::Lower, &[Target::AtMost(FEW)]);
    table.declare(&limited, OTHERS, Better::Lower, &[Target::AtMost(SLOW)]);
    Bounds::default().declare(&mut table, &limited);
    table.declare(&unlimited, RATE, Better::Higher, &[Target::Ratio(1.2)]);
    table.declare(&unlimited, REFUSED, Better::Lower, &[]);
    table.declare(&unlimited, OTHERS, Better::Lower, &[]);
    let bounds = Bounds {
        processor: Some(1.0 / 3.0),
        peak: None,
    };
    bounds.declare(&mut table, &unlimited);
    table.declare(MEMORY, IDLE, Better::Lower, &[Target::Ratio(1.0 / 6.0)]);
    table.declare(MEMORY, &plan.after(), Better::Lower, &[Target::Ratio(1.0 / 6.0)]);
    table
}

async fn side(ours: &Path, plan: Plan, table: &mut Table, origin: Origin) -> Result<()> {
    let mut plane = Plane::start(ours).await?;
    plane.load.namespace(NAMESPACE).await?;
    let bystander = Bystander::new(&plane).await?;
    let [limited, unlimited] = plan.cases();
    let flags = flags(&plane)?;

    plane.run(COMPONENT, origin, &flags).await?;
    deploy(&plane, "warm", 5).await?;
    tokio::time::sleep(plan.settle).await;
    table.add(MEMORY, IDLE, origin, plane.meters()?.program()?.resident);
    case(&plane, &bystander, table, origin, &limited, plan.limited).await?;

    let more = ["--kube-api-qps=10000", "--kube-api-burst=10000"].map(str::to_owned);
    let flags: Vec<String> = flags.into_iter().chain(more).collect();
    plane.run(COMPONENT, origin, &flags).await?;
    deploy(&plane, "warm-again", 5).await?;
    tokio::time::sleep(plan.settle).await;
    case(&plane, &bystander, table, origin, &unlimited, plan.unlimited).await?;
    tokio::time::sleep(plan.settle).await;
    let resident = plane.meters()?.program()?.resident;
    table.add(MEMORY, &plan.after(), origin, resident);
    Ok(())
}

fn flags(plane: &Plane) -> Result<Vec<String>> {
    let kubeconfig = plane.kubeconfig("system:kube-controller-manager", &[])?;
    let kubeconfig = kubeconfig.display();
    Ok(vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--use-service-account-credentials=true".to_owned(),
        format!("--root-ca-file={}", plane.server().ca_file().display()),
        format!(
            "--service-account-private-key-file={}",
            plane.folder().join("accounts.key").display()
        ),
    ])
}

async fn case(
    plane: &Plane,
    bystander: &Bystander,
    table: &mut Table,
    origin: Origin,
    case: &str,
    replicas: usize,
) -> Result<()> {
    let refused = bystander.refused().await?;
    let meters = plane.meters()?;
    let reads = bystander.start();
    let outcome = deploy(plane, "web", replicas).await;
    let slow = reads.finish().await;
    let took = outcome.map_err(|error| plane.explain(&error))?;
    meters.tell(table, case, origin)?;
    #[allow(clippy::cast_precision_loss)]
    table.add(case, RATE, origin, replicas as f64 / took.as_secs_f64());
    table.add(case, REFUSED, origin, bystander.refused().await? - refused);
    table.add(case, OTHERS, origin, slow?);
    Ok(())
}

/// Makes a Deployment, and waits until all its pods are there.
async fn deploy(plane: &Plane, name: &str, replicas: usize) -> Result<Duration> {
    let client = plane.load.one();
    let name = format!("{name}-{replicas}");
    let mine = ListOptions::default().labels(format!("app={name}"));
    let mut pods: Watch<Named> = Watch::start(client, &PODS, NAMESPACE, &mine).await?;
    let since = Instant::now();
    client
        .create::<IgnoredAny, _>(&DEPLOYMENTS, NAMESPACE, &deployment(&name, replicas))
        .await?;
    let last = pods.count(replicas, PATIENCE, "pods were made").await?;
    Ok(last.saturating_duration_since(since))
}

fn deployment(name: &str, replicas: usize) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{
                    "name": "main",
                    "image": Image::Pause.reference(),
                    "resources": { "requests": { "cpu": "10m", "memory": "10Mi" } },
                }] },
            },
        },
    })
}
