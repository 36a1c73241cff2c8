//! The proxy in a network namespace of its own, beside a bare control plane.
//!
//! ```text
//! namespace: kube-proxy, three servers that are endpoints, a client; the API server by a forwarder
//! each side: empty kernel -> proxy -> Services answer -> endpoints change -> new Services -> its end
//! floor:     the same rule set by `nft -f`
//! ```

mod objects;
mod probe;
mod rules;
mod space;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use machinery::client::{DeleteOptions, PatchKind};
use machinery::meta::resources::{ENDPOINT_SLICES, NODES, SERVICES};
use machinery::testing::Process;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::load::gone;
use super::meter::{Bounds, Meters};
use super::plane::Plane;
use super::rounds::Rounds;
use super::table::{Better, Table, Target};
use crate::cluster::progress::Progress;
use crate::machine::enter;
use crate::plan::choice::{Component, Origin};
use objects::{NAMESPACE, NODE};
use probe::Wanted;
use space::Space;

const COMPONENT: Component = Component::Proxy;
/// Until all Services answer after a cold start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until a change has its effect.
const SOON: Duration = Duration::from_secs(20);
/// Longer than the pause that upstream's default settings make between two syncs (`minSyncPeriod`, 1 s).
const BETWEEN: Duration = Duration::from_millis(1500);
/// Services that answer, spread over all.
const ALIVE: usize = 10;

const COLD: &str = "cold start";
const ANSWERS: &str = "start to all Services answering, s";
const CHANGE: &str = "one endpoint changes";
const EFFECT: &str = "API write to its effect, ms";
const SYNC: &str = "the proxy's own sync, ms";
const NEW: &str = "new Service";
const FIRST: &str = "API write to first answer, ms";

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    services: usize,
    /// Changes of an endpoint and new Services, in each round.
    changes: usize,
    new: usize,
}

impl Plan {
    pub fn scaled(scale: f64) -> Self {
        Self {
            services: super::scaled(5000, scale).max(ALIVE),
            changes: if scale < 1.0 { 2 } else { 5 },
            new: if scale < 1.0 { 1 } else { 3 },
        }
    }
}

/// Measures both sides' programs; `ours` is the folder of our programs.
pub async fn measure(ours: &Path, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let mut table = declared(plan);
    let bench = Bench::start(ours, plan).await?;
    progress.say(&format!("{} Services are there", plan.services));
    rounds
        .run(&mut table, "proxy", progress, async |table, origin, round| {
            let outcome = bench.side(table, origin, round).await;
            bench.space.flush()?;
            outcome
        })
        .await;
    Ok(table)
}

fn declared(plan: Plan) -> Table {
    let mut table = Table::new(
        "Proxy",
        &format!(
            "nftables mode in a network namespace of its own, {} Services with 2 endpoints each, default settings. Cold \
             start: from the start of the process, with no rules in the kernel, until {ALIVE} Services spread over all of them \
             answer; its floor is `nft -f` of upstream's rules. Effects are seen by a client that connects \
             all the time; their floor is the API server's own answer to the write.",
            plan.services
        ),
    );
    table.declare(COLD, ANSWERS, Better::Lower, &[Target::Ratio(0.1)]);
    let bounds = Bounds {
        processor: None,
        peak: Some(1.0 / 8.0),
    };
    bounds.declare(&mut table, COLD);
    table.declare(CHANGE, SYNC, Better::Lower, &[Target::Ratio(1.0 / 50.0)]);
    table.declare(CHANGE, EFFECT, Better::Lower, &[]);
    table.declare(NEW, FIRST, Better::Lower, &[Target::Ratio(0.2)]);
    table
}

struct Bench {
    plan: Plan,
    plane: Plane,
    space: Arc<Space>,
    /// Cluster addresses of the Services that answer.
    alive: Vec<String>,
    /// Those of a hundred more, whose rules must be there.
    sample: Vec<String>,
}

impl Bench {
    async fn start(ours: &Path, plan: Plan) -> Result<Self> {
        let plane = Plane::start(ours).await?;
        let space = Space::make(plane.folder(), plane.server().url())?;
        let load = &plane.load;
        load.namespace(NAMESPACE).await?;
        load.create(&NODES, "", [objects::node()]).await?;
        load.create(
            &SERVICES,
            NAMESPACE,
            (0..plan.services).map(|n| objects::service(&objects::name(n), None)),
        )
        .await?;
        let step = plan.services / ALIVE;
        let is_alive = |number: usize| number.is_multiple_of(step) && number / step < ALIVE;
        let slices = (0..plan.services).map(|number| {
            let addresses = if is_alive(number) {
                [space::SERVERS[0].0.to_owned(), space::SERVERS[1].0.to_owned()]
            } else {
                objects::nowhere(number)
            };
            objects::slice(&objects::name(number), &addresses)
        });
        load.create(&ENDPOINT_SLICES, NAMESPACE, slices).await?;
        let mut bench = Self {
            plan,
            plane,
            space: Arc::new(space),
            alive: Vec::new(),
            sample: Vec::new(),
        };
        for number in (0..plan.services).filter(|number| is_alive(*number)) {
            bench.alive.push(bench.address(number).await?);
        }
        for number in (0..plan.services).step_by((plan.services / 100).max(1)) {
            bench.sample.push(bench.address(number).await?);
        }
        Ok(bench)
    }

    async fn address(&self, number: usize) -> Result<String> {
        let name = objects::name(number);
        let service: Value = self.plane.load.one().get(&SERVICES, NAMESPACE, &name).await?;
        let address = service["spec"]["clusterIP"].as_str();
        Ok(address
            .with_context(|| format!("{name} has no address"))?
            .to_owned())
    }

    async fn side(&self, table: &mut Table, origin: Origin, round: u32) -> Result<()> {
        let binary = self.plane.binary(COMPONENT, origin)?;
        let config = self.config()?;
        let (folder, pid) = (self.plane.folder().to_owned(), self.space.pid());
        let args = [
            format!("--config={config}"),
            format!("--hostname-override={NODE}"),
        ];
        let since = Instant::now();
        let process = enter::in_network(pid, move || {
            Process::start(&binary, args, &folder).context("starting kube-proxy")
        })?;
        let outcome = self.measured(table, origin, round, &process, since).await;
        outcome.map_err(|error| anyhow!("{error:#}\n{}", process.last_words()))
    }

    fn config(&self) -> Result<String> {
        let kubeconfig = self.plane.kubeconfig("system:kube-proxy", &[])?;
        let path = self.plane.folder().join("kube-proxy.yaml");
        let text = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": { "kubeconfig": kubeconfig },
            "clusterCIDR": "10.244.0.0/16",
            "detectLocalMode": "ClusterCIDR",
            "conntrack": { "maxPerCore": 0, "min": 0 },
        });
        std::fs::write(&path, text.to_string()).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    async fn measured(
        &self,
        table: &mut Table,
        origin: Origin,
        round: u32,
        process: &Process,
        since: Instant,
    ) -> Result<()> {
        let meters = Meters::start(pid(process).await?, self.plane.apiserver_pid()?)?;
        for address in &self.alive {
            let wanted = Wanted::any(address, PATIENCE)?;
            probe::spawn(&self.space, wanted)
                .await
                .with_context(|| format!("{address}:80"))?;
        }
        table.add(COLD, ANSWERS, origin, since.elapsed().as_secs_f64());
        meters.tell(table, COLD, origin)?;
        let rules = self.space.rules()?;
        if let Some(missing) = self.sample.iter().find(|address| !rules::has(&rules, address)) {
            bail!("all Services answered, but there are no rules for {missing}");
        }
        // `nft` does not read all that it prints of ours.
        if origin == Origin::Upstream {
            table.floor(COLD, ANSWERS, self.space.reload(&rules)?);
        }
        self.changes(table, origin).await?;
        for number in 0..self.plan.new {
            tokio::time::sleep(BETWEEN).await;
            let name = format!("new-{origin}-{round}-{number}");
            let (written, answered) = self.new_service(&name).await?;
            table.floor(NEW, FIRST, 1000.0 * written);
            table.add(NEW, FIRST, origin, 1000.0 * answered);
        }
        Ok(())
    }

    /// Moves an endpoint of one Service to and fro.
    async fn changes(&self, table: &mut Table, origin: Origin) -> Result<()> {
        let (name, address) = (objects::name(0), &self.alive[0]);
        let before = self.space.syncs()?;
        // An even number, so that the next side finds everything as it was.
        for number in 0..self.plan.changes.next_multiple_of(2) {
            tokio::time::sleep(BETWEEN).await;
            let [first, second, third] = space::SERVERS;
            let (moved, to) = if number.is_multiple_of(2) {
                ([third.0, second.0], third.1)
            } else {
                ([first.0, second.0], first.1)
            };
            let wanted = Wanted::of(address, to, SOON)?;
            let answer = probe::spawn(&self.space, wanted);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let since = Instant::now();
            let patch = json!({ "endpoints": objects::endpoints(&moved.map(str::to_owned)) });
            self.plane
                .load
                .one()
                .patch::<IgnoredAny, _>(&ENDPOINT_SLICES, NAMESPACE, &name, PatchKind::Merge, &patch)
                .await?;
            table.floor(CHANGE, EFFECT, 1000.0 * since.elapsed().as_secs_f64());
            let took = answer.await?.saturating_duration_since(since);
            table.add(CHANGE, EFFECT, origin, 1000.0 * took.as_secs_f64());
        }
        if let Some(seconds) = self.space.syncs()?.mean_since(before) {
            table.add(CHANGE, SYNC, origin, 1000.0 * seconds);
        }
        Ok(())
    }

    /// Seconds from the write of a Service, whose endpoints are there already, to the API server's answer and to its own
    /// first.
    async fn new_service(&self, name: &str) -> Result<(f64, f64)> {
        const ADDRESS: &str = "10.0.255.200";
        let one = self.plane.load.one();
        let servers = [space::SERVERS[0].0.to_owned(), space::SERVERS[1].0.to_owned()];
        one.create::<IgnoredAny, _>(&ENDPOINT_SLICES, NAMESPACE, &objects::slice(name, &servers))
            .await?;
        tokio::time::sleep(BETWEEN).await;
        let answer = probe::spawn(&self.space, Wanted::any(ADDRESS, SOON)?);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let since = Instant::now();
        one.create::<IgnoredAny, _>(&SERVICES, NAMESPACE, &objects::service(name, Some(ADDRESS)))
            .await?;
        let written = since.elapsed().as_secs_f64();
        let outcome = answer.await;
        let options = DeleteOptions::default();
        gone(one.delete(&SERVICES, NAMESPACE, name, &options).await)?;
        gone(one.delete(&ENDPOINT_SLICES, NAMESPACE, name, &options).await)?;
        let answered = outcome?.saturating_duration_since(since).as_secs_f64();
        Ok((written, answered))
    }
}

/// Its process id, which a shell tells a moment after it started it.
async fn pid(process: &Process) -> Result<u32> {
    for _ in 0..2000 {
        if let Some(pid) = process.pid() {
            return Ok(pid);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("kube-proxy did not start")
}
