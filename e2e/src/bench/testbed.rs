//! The rig that benchmarks of node programs run on.

use std::time::Duration;

use anyhow::{Context, Result};
use machinery::client::Config;
use rustix::process::Signal;

use super::load::Load;
use super::meter::Meters;
use crate::cluster::progress::Progress;
use crate::cluster::swap::{self, Change};
use crate::cluster::up;
use crate::machine::process;
use crate::plan::choice::{Component, Origin};
use crate::plan::program;
use crate::plan::site::{Folder, Site};
use crate::state::State;
use crate::supervisor::client::Supervisor;
use crate::supervisor::protocol::ProgramStatus;

/// A rig that is up.
pub struct Testbed {
    pub site: Site,
    state: State,
    pub load: Load,
}

impl Testbed {
    /// # Errors
    /// If no rig is up in `folder`.
    pub fn connect(folder: &Folder) -> Result<Self> {
        let state = State::expect(folder)?;
        let config = Config::from_kubeconfig(folder.kubeconfig())?;
        Ok(Self {
            site: state.site(folder.clone()),
            load: Load::new(&config)?,
            state,
        })
    }

    /// Whose program played `component` on `machine` when we came.
    pub fn before(&self, component: Component, machine: &str) -> Origin {
        self.state.choices.origin(component, machine)
    }

    pub fn supervisor(&self) -> Result<Supervisor> {
        Supervisor::connect(&self.site.folder)
    }

    /// Gives `component` on `node` to `origin`, unless it has it already, and waits until it works.
    pub async fn give(&self, component: Component, origin: Origin, node: Option<&str>) -> Result<()> {
        let change = Change::To(origin);
        swap::swap(&self.site.folder, component, change, node, Progress::quiet()).await
    }

    /// Ends `component` on `machine`, until [`Testbed::start`].
    pub fn stop(&self, component: Component, machine: &str) -> Result<()> {
        self.supervisor()?
            .stop_program(&component.instance(machine), Duration::from_secs(20))
    }

    /// Starts the program of `origin`, which does not become the rig's choice.
    pub fn start(&self, component: Component, origin: Origin, machine: &str) -> Result<()> {
        self.supervisor()?
            .start_program(program::component(&self.site, component, origin, machine))
    }

    pub fn status(&self, instance: &str) -> Result<ProgramStatus> {
        self.supervisor()?
            .programs()?
            .into_iter()
            .find(|program| program.instance == instance)
            .with_context(|| format!("{instance} is not there"))
    }

    /// Process id of a program that runs.
    pub fn pid(&self, instance: &str) -> Result<u32> {
        self.status(instance)?
            .pid
            .with_context(|| format!("{instance} is not running"))
    }

    /// Sends SIGKILL to a program; the supervisor starts it again a quarter of a second later.
    pub fn kill(&self, instance: &str) -> Result<()> {
        process::signal_pid(self.pid(instance)?, Signal::KILL);
        Ok(())
    }

    /// Measures a program and the API server from now on.
    pub fn meters(&self, instance: &str) -> Result<Meters> {
        Meters::start(self.pid(instance)?, self.pid("kube-apiserver")?)
    }

    /// First process of a machine.
    pub fn machine(&self, name: &str) -> Result<u32> {
        up::machines(&self.site)?
            .get(name)
            .copied()
            .with_context(|| format!("there is no machine {name}"))
    }
}
