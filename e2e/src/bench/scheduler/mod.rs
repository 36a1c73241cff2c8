//! The scheduler on a bare control plane: many pods, many nodes, one kind of constraint after the other.
//!
//! ```text
//! floor: create and bind with no scheduler
//! each case: fresh scheduler -> warm-up -> pods created over many connections -> all bound
//! ```
//! Nodes are objects and nothing else. Nothing here would ever call them NotReady, so they stay as they are made.

mod cases;
mod core;
mod floor;
mod large;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use machinery::client::ListOptions;
use machinery::meta::resources::{NODES, PODS};
use serde_json::json;

use super::meter::Meters;
use super::plane::Plane;
use super::rounds::Rounds;
use super::table::{Better, Table, Target};
use super::watch::{Counted, Named, Watch};
use crate::cluster::progress::Progress;
use crate::plan::choice::{Component, Origin};
pub use cases::{Case, Constraint};
pub use core::measure as measure_core;
pub use large::measure as measure_large;

const COMPONENT: Component = Component::Scheduler;
const NAMESPACE: &str = "bench";
const WARM: &str = "warm";
const WARM_PODS: usize = 10;
const BOUND: &str = "pods were bound";
const RATE: &str = "pods/s";
const GROWTH: &str = "CPU a pod, large divided by small";

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub nodes: usize,
    pub scale: f64,
}

impl Plan {
    pub fn scaled(scale: f64) -> Self {
        Self {
            nodes: super::scaled(1000, scale),
            scale,
        }
    }
}

/// Measures both sides' programs; `ours` is the folder of our programs.
pub async fn measure(ours: &Path, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let mut table = Table::new(
        "Scheduler",
        &format!(
            "A bare control plane for each side and round, {} nodes in 3 zones, a fresh scheduler for each case. From the \
             creation of the first pod, over many connections at once, until the last is bound: the API server's share of \
             two cores is in it. The floor is the same with no scheduler, each pod bound as soon as it is created.",
            plan.nodes
        ),
    );
    let cases = Case::all(plan.scale);
    for case in &cases {
        case.declare(&mut table);
    }
    rounds
        .run(&mut table, "scheduler", progress, async |table, origin, _| {
            let mut field = Field::start(ours).await?;
            field.nodes(0..plan.nodes).await?;
            if origin == Origin::Upstream {
                let rate = floor::rate(&field, plan).await?;
                for case in cases.iter().filter(|case| case.unlimited) {
                    table.floor(&case.name(), RATE, rate);
                }
            }
            for case in &cases {
                let begun = Instant::now();
                let outcome = field.case(case, table, origin).await;
                let took = begun.elapsed().as_secs_f64();
                match outcome {
                    Ok(_) => progress.say(&format!("  {}: {origin} ({took:.0} s)", case.name())),
                    Err(error) => {
                        progress.say(&format!("  {}: {origin} failed: {error:#}", case.name()));
                        table.fail(&case.name(), origin, &format!("{error:#}"));
                    }
                }
                field.clear().await?;
            }
            Ok(())
        })
        .await;
    Ok(table)
}

/// A control plane with nodes.
struct Field {
    plane: Plane,
    kubeconfig: PathBuf,
}

/// What came of a case.
struct Outcome {
    /// Fewer than the case's pods when its time was over before.
    bound: usize,
    /// Pods a second.
    rate: f64,
    /// The scheduler's, seconds.
    processor: f64,
}

impl Field {
    async fn start(ours: &Path) -> Result<Self> {
        let plane = Plane::start(ours).await?;
        for name in [NAMESPACE, WARM] {
            plane.load.namespace(name).await?;
        }
        let kubeconfig = plane.kubeconfig("system:kube-scheduler", &[])?;
        Ok(Self { plane, kubeconfig })
    }

    async fn nodes(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let nodes = numbers.map(cases::node);
        self.plane.load.create(&NODES, "", nodes).await
    }

    /// Starts a fresh scheduler of `origin` and lets it bind a few pods.
    async fn scheduler(&mut self, origin: Origin, unlimited: bool) -> Result<()> {
        let mut connection = json!({ "kubeconfig": self.kubeconfig });
        if unlimited {
            connection["qps"] = json!(10_000);
            connection["burst"] = json!(10_000);
        }
        let config = self.plane.folder().join("scheduler.yaml");
        let text = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": connection,
        });
        std::fs::write(&config, text.to_string()).with_context(|| format!("writing {}", config.display()))?;
        let kubeconfig = self.kubeconfig.display();
        let flags = [
            format!("--config={}", config.display()),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
        ];
        self.plane.run(COMPONENT, origin, &flags).await?;
        let patience = Duration::from_secs(60);
        let (counted, _) = self.bound(WARM, WARM_PODS, patience, Constraint::None).await?;
        ensure!(
            counted.seen == WARM_PODS,
            "{}",
            counted.short_of(WARM_PODS, patience, BOUND)
        );
        Ok(())
    }

    /// One case, from a fresh scheduler to its numbers in `table`: of the pods that were bound in the case's time.
    async fn case(&mut self, case: &Case, table: &mut Table, origin: Origin) -> Result<Outcome> {
        self.scheduler(origin, case.unlimited).await?;
        let meters: Meters = self.plane.meters()?;
        let (counted, took) = self
            .bound(NAMESPACE, case.pods, case.patience, case.constraint)
            .await
            .map_err(|error| self.plane.explain(&error))?;
        let processor = meters.program()?.processor;
        let (name, bound) = (case.name(), counted.seen);
        let short = counted.short_of(case.pods, case.patience, BOUND);
        if bound == 0 {
            return Err(self.plane.explain(&anyhow!(short)));
        }
        if bound < case.pods {
            table.fail(&name, origin, &format!("{short}; its figures are of those"));
        }
        #[allow(clippy::cast_precision_loss)]
        let rate = bound as f64 / took.as_secs_f64();
        table.add(&name, RATE, origin, rate);
        meters.tell(table, &name, origin)?;
        Ok(Outcome {
            bound,
            rate,
            processor,
        })
    }

    /// Creates `count` pods, and counts them until all are bound or `patience` ends; and how long that took.
    async fn bound(
        &self,
        namespace: &str,
        count: usize,
        patience: Duration,
        constraint: Constraint,
    ) -> Result<(Counted, Duration)> {
        let load = &self.plane.load;
        let bound = ListOptions::default().fields("spec.nodeName!=");
        let mut watch: Watch<Named> = Watch::start(load.one(), &PODS, namespace, &bound).await?;
        let kind = PODS;
        let pods = (0..count).map(|number| cases::pod(number, constraint));
        let since = Instant::now();
        let counting = watch.count_within(count, patience);
        let (counted, ()) = tokio::try_join!(counting, load.create(&kind, namespace, pods))?;
        Ok((counted, counted.at.saturating_duration_since(since)))
    }

    /// Ends the scheduler and removes all pods.
    async fn clear(&mut self) -> Result<()> {
        self.plane.stop().await?;
        for namespace in [NAMESPACE, WARM] {
            self.plane.load.clear(&PODS, namespace).await?;
        }
        Ok(())
    }
}

/// What a pod's processor time may grow by from `small` to `large` clusters.
#[allow(clippy::cast_precision_loss)]
fn logarithmic(small: usize, large: usize) -> Target {
    Target::AtMost((large as f64).ln() / (small as f64).ln().max(1.0))
}

/// A target of at least this factor.
fn at_least(factor: Option<f64>) -> (Better, Vec<Target>) {
    (Better::Higher, factor.map(Target::Ratio).into_iter().collect())
}
