//! Pods on one node: made, ended, kept, and kept over a crash of their kubelet.
//!
//! ```text
//! floor: bare CRI calls, no kubelet
//! each side: kubelet -> one pod, several times -> all at once -> idle -> kill -9 -> all deleted
//! ```
//! Pods name their node, so that no scheduler has a share in the figures.

mod crash;
mod floor;
mod many;
mod objects;
mod one;

use std::time::Duration;

use anyhow::{Context, Result};
use machinery::client::ListOptions;
use machinery::meta::resources::PODS;

use super::meter::Bounds;
use super::rounds::Rounds;
use super::table::{Better, Table, Target};
use super::testbed::Testbed;
use super::watch::Watch;
use crate::cluster::progress::Progress;
use crate::plan::choice::{Component, Origin};
use crate::plan::site::Folder;
use objects::Pod;

/// The node whose kubelet is under test.
const NODE: &str = "n1";
const NAMESPACE: &str = "bench-pods";
/// For anything that one pod does.
const PATIENCE: Duration = Duration::from_secs(60);
/// For all of them.
const LONG: Duration = Duration::from_secs(180);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub pods: usize,
    /// How often one pod alone is made and ended, in each round.
    pub singles: usize,
    /// Between the last pod's readiness and the measurement.
    pub settle: Duration,
    pub measure: Duration,
}

impl Plan {
    pub fn scaled(scale: f64) -> Self {
        let small = scale < 1.0;
        Self {
            pods: super::scaled(100, scale),
            singles: if small { 2 } else { 5 },
            settle: Duration::from_secs(if small { 2 } else { 8 }),
            measure: Duration::from_secs(if small { 4 } else { 20 }),
        }
    }

    fn at_once(&self) -> String {
        format!("{} pods at once", self.pods)
    }

    fn idle(&self) -> String {
        format!("{} idle pods", self.pods)
    }

    fn crash(&self) -> String {
        format!("kill -9 and restart with {} pods", self.pods)
    }
}

const ONE: &str = "one pod";
const READY: &str = "created to Ready, s";
const GONE: &str = "deleted to gone, s";
const ALL_READY: &str = "all Ready, s";
const ALL_GONE: &str = "all gone, s";

/// Measures the kubelets of both sides on the rig in `folder`, and gives the node back to the one that it had.
pub async fn measure(folder: &Folder, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let bed = Testbed::connect(folder)?;
    bed.load.namespace(NAMESPACE).await?;
    objects::account(&bed.load).await?;
    bed.load.clear(&PODS, NAMESPACE).await?;
    let mut table = declared(&plan);
    if let Err(error) = floor::measure(&bed, &plan, &mut table).await {
        progress.say(&format!("floor: failed: {error:#}"));
        table.fail(
            "floor: bare CRI calls",
            bed.before(Component::Kubelet, NODE),
            &format!("{error:#}"),
        );
    } else {
        progress.say("floor: bare CRI calls measured");
    }
    let bench = Bench { bed: &bed, plan };
    rounds
        .run(&mut table, "pods", progress, async |table, origin, _| {
            let outcome = bench.side(table, origin).await;
            // Whatever a failure left is not the next side's to begin with.
            bench.clear().await?;
            outcome
        })
        .await;
    bench.clear().await?;
    bed.give(
        Component::Kubelet,
        bed.before(Component::Kubelet, NODE),
        Some(NODE),
    )
    .await?;
    Ok(table)
}

fn declared(plan: &Plan) -> Table {
    let mut table = Table::new(
        "Pods on a node",
        "One node's kubelet is under test; the rest of the cluster is the same for both. Pods name their node and run one \
         container that ends when it is asked to (grace 1 s). The floor is what the bare CRI calls take on the same \
         containerd with no kubelet: sandbox, create, start; stop both; many pods eight at a time. A supervisor starts \
         a killed kubelet again after 0.25 s, which counts.",
    );
    let (at_once, idle, crash) = (plan.at_once(), plan.idle(), plan.crash());
    for (case, measure, targets) in [
        (ONE, READY, &[Target::Ratio(0.7), Target::Floor(1.15)][..]),
        (ONE, GONE, &[Target::Ratio(0.25)]),
        (&at_once, ALL_READY, &[Target::Ratio(0.7)]),
        (&at_once, ALL_GONE, &[Target::Ratio(0.5)]),
    ] {
        table.declare(case, measure, Better::Lower, targets);
    }
    Bounds::default().declare(&mut table, &at_once);
    for (case, measure, targets) in [
        (&idle, many::RSS, &[Target::Ratio(0.2)][..]),
        (&idle, many::CPU, &[Target::Ratio(0.2)]),
        (&crash, crash::RESTARTED, &[Target::AtMost(0.0)]),
        (&crash, crash::READY, &[Target::Ratio(0.3)]),
    ] {
        table.declare(case, measure, Better::Lower, targets);
    }
    table
}

/// What all parts of the sequence need.
struct Bench<'a> {
    bed: &'a Testbed,
    plan: Plan,
}

impl Bench<'_> {
    async fn side(&self, table: &mut Table, origin: Origin) -> Result<()> {
        self.bed.give(Component::Kubelet, origin, Some(NODE)).await?;
        let mut watch = self.watch().await?;
        // Warm-up: the first pod of a kubelet pays for what later ones find.
        self.one_pod(&mut watch, "warm").await?;
        for number in 0..self.plan.singles {
            let (ready, gone) = self.one_pod(&mut watch, &format!("one-{number}")).await?;
            table.add(ONE, READY, origin, ready);
            table.add(ONE, GONE, origin, gone);
        }
        self.many(&mut watch, table, origin).await?;
        self.crash(table, origin).await?;
        self.all_gone(&mut watch, table, origin).await
    }

    async fn watch(&self) -> Result<Watch<Pod>> {
        let options = ListOptions::default();
        Watch::start(self.bed.load.one(), &PODS, NAMESPACE, &options).await
    }

    fn instance(&self) -> String {
        Component::Kubelet.instance(NODE)
    }

    /// Deletes what there is, through the kubelet that runs.
    async fn clear(&self) -> Result<()> {
        let pods = PODS;
        let work = self.bed.load.clear(&pods, NAMESPACE);
        tokio::time::timeout(PATIENCE, work)
            .await
            .context("pods are still there a minute after their deletion")?
    }
}
