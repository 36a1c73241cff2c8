//! What a program weighs before it does anything: its file, its start, its idle memory and processor time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::rounds::Rounds;
use super::table::{Better, Table, Target};
use super::testbed::Testbed;
use crate::cluster::health;
use crate::cluster::progress::Progress;
use crate::cluster::swap::{self, Change};
use crate::machine::process::Usage;
use crate::plan::address::CONTROL_PLANE;
use crate::plan::choice::{Component, Origin};
use crate::plan::site::Folder;

/// Above this a build is worse than what users were told. Optimised programs, as they ship; on an idle rig.
struct Bounds {
    /// MiB.
    file: f64,
    /// Seconds.
    start: f64,
    /// MiB.
    resident: f64,
    /// Millicores.
    processor: f64,
}

const fn bounds(component: Component) -> Bounds {
    match component {
        Component::Kubelet => Bounds {
            file: 20.0,
            start: 2.0,
            resident: 22.0,
            processor: 20.0,
        },
        Component::Scheduler => Bounds {
            file: 14.0,
            start: 1.0,
            resident: 17.0,
            processor: 8.0,
        },
        Component::Proxy => Bounds {
            file: 12.0,
            start: 1.0,
            resident: 15.0,
            processor: 4.0,
        },
        Component::Controllers => Bounds {
            file: 18.0,
            start: 1.0,
            resident: 28.0,
            processor: 12.0,
        },
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    settle: Duration,
    measure: Duration,
}

impl Plan {
    pub fn scaled(scale: f64) -> Self {
        let seconds = if scale < 1.0 { (1, 2) } else { (8, 10) };
        Self {
            settle: Duration::from_secs(seconds.0),
            measure: Duration::from_secs(seconds.1),
        }
    }
}

const FILE: &str = "file, MiB";
const START: &str = "start to healthy, s";
const RSS: &str = "idle RSS, MiB";
const CPU: &str = "idle CPU, millicores";
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures both sides' programs on the control plane and on one node of the rig in `folder`.
pub async fn measure(folder: &Folder, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let bed = Testbed::connect(folder)?;
    let mut table = Table::new(
        "Size and start",
        "Each program's file, the time from its start until its health endpoint says that it is well, and what it takes \
         shortly afterwards on an idle cluster. Targets are bounds on ours alone.",
    );
    for component in Component::ALL {
        let bounds = bounds(component);
        for (measure, bound) in [
            (FILE, bounds.file),
            (START, bounds.start),
            (RSS, bounds.resident),
            (CPU, bounds.processor),
        ] {
            table.declare(
                component.program(),
                measure,
                Better::Lower,
                &[Target::AtMost(bound)],
            );
        }
        for origin in [Origin::Upstream, Origin::Ours] {
            let path = bed.site.binary(component, origin);
            let file = std::fs::metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
            #[allow(clippy::cast_precision_loss)] // To a tenth of a mebibyte.
            let size = file.len() as f64 / 1024.0 / 1024.0;
            table.add(component.program(), FILE, origin, size);
        }
    }
    rounds
        .run(&mut table, "size", progress, async |table, origin, _| {
            side(&bed, plan, table, origin).await
        })
        .await;
    for component in Component::ALL {
        let node = component.on_nodes().then_some(NODE);
        let change = Change::Restart(Vec::new());
        swap::swap(folder, component, change, node, Progress::quiet()).await?;
    }
    Ok(table)
}

const NODE: &str = "n1";

const fn machine(component: Component) -> &'static str {
    if component.on_nodes() { NODE } else { CONTROL_PLANE }
}

async fn side(bed: &Testbed, plan: Plan, table: &mut Table, origin: Origin) -> Result<()> {
    for component in Component::ALL {
        let machine = machine(component);
        let _ = bed.stop(component, machine);
        let first = bed.machine(machine)?;
        let since = Instant::now();
        bed.start(component, origin, machine)?;
        healthy(first, component, since).await?;
        table.add(component.program(), START, origin, since.elapsed().as_secs_f64());
    }
    tokio::time::sleep(plan.settle).await;
    let mut begun = Vec::new();
    for component in Component::ALL {
        let pid = bed.pid(&component.instance(machine(component)))?;
        begun.push((component, pid, Usage::of(pid)?));
    }
    let since = Instant::now();
    tokio::time::sleep(plan.measure).await;
    for (component, pid, first) in begun {
        let last = Usage::of(pid)?;
        let spent = last.processor.saturating_sub(first.processor).as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // To a tenth of a mebibyte.
        let resident = last.resident as f64 / 1024.0 / 1024.0;
        table.add(component.program(), RSS, origin, resident);
        let millicores = 1000.0 * spent / since.elapsed().as_secs_f64();
        table.add(component.program(), CPU, origin, millicores);
    }
    Ok(())
}

async fn healthy(machine: u32, component: Component, since: Instant) -> Result<()> {
    loop {
        let asked = tokio::task::spawn_blocking(move || health::get(machine, health::endpoint(component)));
        match asked.await.context("asking for health")? {
            Ok(_) => return Ok(()),
            Err(error) if since.elapsed() > PATIENCE => {
                bail!(
                    "{} is not healthy after {PATIENCE:?}: {error:#}",
                    component.program()
                )
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
