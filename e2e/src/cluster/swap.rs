//! `rig swap`: the other side's program takes over, under a cluster that keeps running.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use super::health;
use super::progress::Progress;
use super::up::machines;
use super::wait::Wait;
use crate::plan::address::{CONTROL_PLANE, node_names, node_number};
use crate::plan::choice::{ChoiceError, Component, Origin};
use crate::plan::program;
use crate::plan::site::{Folder, Site};
use crate::state::{Lock, State};
use crate::supervisor::client::Supervisor;

/// How long a program may take to end when asked.
const GRACE: Duration = Duration::from_secs(30);

/// What is to be done with a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The program of this side takes over, where it does not run already.
    To(Origin),
    /// The same side's program is started again, from its file as it is now, with these flags after the usual ones.
    Restart(Vec<String>),
}

/// Changes `component` on `node`, or wherever it runs, and waits until it works.
pub async fn swap(
    folder: &Folder,
    component: Component,
    change: Change,
    node: Option<&str>,
    progress: Progress,
) -> Result<()> {
    let _lock = Lock::take(folder)?;
    let mut state = State::expect(folder)?;
    let site = state.site(folder.clone());
    let mut supervisor = Supervisor::connect(folder)?;
    for machine in places(component, node, state.nodes)? {
        let (instance, now) = (
            component.instance(&machine),
            state.choices.origin(component, &machine),
        );
        let (origin, flags) = match &change {
            Change::To(origin) if *origin == now => {
                progress.say(&format!("{instance} is {origin} already"));
                continue;
            }
            Change::To(origin) => (*origin, Vec::new()),
            Change::Restart(flags) => (now, flags.clone()),
        };
        let binary = site.binary(component, origin);
        if !binary.exists() {
            bail!("{} is not there: `make build` makes it", binary.display());
        }
        let since = Instant::now();
        let client = super::client(&folder.kubeconfig()).await?;
        let before = holder(&client, component).await?;
        if supervisor
            .programs()?
            .iter()
            .any(|program| program.instance == instance)
        {
            supervisor.stop_program(&instance, GRACE)?;
        }
        state.choices.swap(component, origin, Some(&machine));
        state.write(folder)?;
        let mut program = program::component(&site, component, origin, &machine);
        program.argv.extend(flags);
        supervisor.start_program(program)?;
        works(&site, &mut supervisor, component, &machine, before.as_deref()).await?;
        progress.say(&format!(
            "{instance} is {origin} now ({:.1} s)",
            since.elapsed().as_secs_f64()
        ));
    }
    if let (None, Change::To(origin)) = (node, change) {
        state.choices.swap(component, origin, None);
        state.write(folder)?;
    }
    Ok(())
}

fn places(component: Component, node: Option<&str>, nodes: u8) -> Result<Vec<String>> {
    match node {
        None if component.on_nodes() => Ok(node_names(nodes)),
        None => Ok(vec![CONTROL_PLANE.to_owned()]),
        Some(node) if !component.on_nodes() => {
            Err(ChoiceError::NotOnNodes(component, node.to_owned()).into())
        }
        Some(node) if node_number(node).is_none_or(|number| number > nodes) => {
            Err(ChoiceError::NoSuchNode(node.to_owned(), nodes).into())
        }
        Some(node) => Ok(vec![node.to_owned()]),
    }
}

/// Waits until `component` on `machine` is healthy and, where only one may lead, leads under another name than `before`.
pub async fn works(
    site: &Site,
    supervisor: &mut Supervisor,
    component: Component,
    machine: &str,
    before: Option<&str>,
) -> Result<()> {
    let instance = component.instance(machine);
    let first = *machines(site)?
        .get(machine)
        .with_context(|| format!("there is no machine {machine}"))?;
    let what = format!("{instance} works");
    let programs = [instance];
    let wait = Wait {
        what: &what,
        patience: Duration::from_secs(60),
        pause: Duration::from_millis(250),
        programs: &programs,
    };
    let client = super::client(&site.folder.kubeconfig()).await?;
    wait.until(supervisor, || async {
        let asked =
            tokio::task::spawn_blocking(move || health::get(first, health::endpoint(component))).await;
        asked
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error:#}"))?;
        let now = holder(&client, component)
            .await
            .map_err(|error| format!("{error:#}"))?;
        match (&now, before) {
            (Some(now), Some(before)) if now == before => Err(format!("the lease is still held by {before}")),
            _ => Ok(()),
        }
    })
    .await
}

/// Who leads, for components of which one may.
pub async fn holder(client: &kube::Client, component: Component) -> Result<Option<String>> {
    if component.on_nodes() {
        return Ok(None);
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let lease = leases
        .get_opt(component.program())
        .await
        .context("reading a lease")?;
    Ok(lease
        .and_then(|lease| lease.spec)
        .and_then(|spec| spec.holder_identity))
}
