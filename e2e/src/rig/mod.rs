//! A rig for tests: one cluster that several tests, in several programs, share one after the other.
//!
//! ```text
//! shared() -> lock -> the rig of an earlier test, or a new one -> put in order -> Rig
//! ```
//! The rig stays up after the last test, so that the next run starts at once: `rig --state target/rig-e2e down` (which
//! `make e2e` does) ends it. Tests block; each works in a [`Namespace`] of its own.
//!
//! | variable | meaning |
//! |---|---|
//! | `STEERSMAN_E2E_RIG` | state folder, instead of `target/rig-e2e` |
//! | `STEERSMAN_E2E_USE` | what [`Rig::base`] is, in the form of `rig up --use`; ours unless said otherwise |
//! | `STEERSMAN_BIN` | folder of our programs, instead of `target/release` |

mod kubectl;
mod namespace;
mod steady;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

pub use kubectl::Kubectl;
pub use namespace::Namespace;
pub use steady::{Steady, Tally};

use crate::assets::{Image, Terminal};
use crate::cluster::progress::Progress;
use crate::cluster::swap::{self, Change};
use crate::cluster::{down, up, upstream};
use crate::machine::{launch, process};
use crate::places;
use crate::plan::address::{CONTROL_PLANE, node_names};
use crate::plan::choice::{Choices, Component, Origin, Use};
use crate::plan::program;
use crate::plan::site::{Folder, Site};
use crate::state::{Phase, State};
use crate::supervisor::client::Supervisor;
use crate::supervisor::protocol::ProgramStatus;
use crate::supervisor::record::{Record, supervisor};

/// How many nodes the shared rig has.
pub const NODES: u8 = 2;

/// The image that tests run.
pub fn agnhost() -> &'static str {
    Image::Agnhost.reference()
}

/// The same image under another tag, for rolling updates.
pub fn agnhost_other() -> &'static str {
    Image::Agnhost.references().last().copied().unwrap_or_default()
}

/// A cluster that is up, held by this test alone until it is dropped.
pub struct Rig {
    site: Site,
    base: Choices,
    _held: File,
}

/// The rig that tests share, with every component in its place and all nodes Ready. `rig` is the `rig` program
/// (`env!("CARGO_BIN_EXE_rig")` in a test).
///
/// # Errors
/// If it cannot be made; the message says what to do.
pub fn shared(rig: &str) -> Result<Rig> {
    let folder = match std::env::var_os("STEERSMAN_E2E_RIG") {
        Some(folder) => places::state(Some(folder.into()))?,
        None => places::state(Some(places::checkout()?.join("target/rig-e2e")))?,
    };
    let held = hold(&folder)?;
    let uses = std::env::var("STEERSMAN_E2E_USE").unwrap_or_default();
    let uses: Vec<Use> = uses
        .split(',')
        .filter(|item| !item.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let site = Site {
        folder,
        ours: places::ours(std::env::var_os("STEERSMAN_BIN").map(PathBuf::from))?,
    };
    let base = up::check(&site, &uses, NODES)?;
    if !usable(&site)? {
        let assets = upstream::ensure(&places::assets()?, &Terminal::default())?;
        down::down(&site.folder)?;
        let options = up::Options {
            site: site.clone(),
            assets,
            rig: rig.into(),
            nodes: NODES,
            uses,
        };
        block_on(up::up(&options, Progress::new()))?;
    }
    let rig = Rig {
        site,
        base,
        _held: held,
    };
    rig.tidy()?;
    Ok(rig)
}

impl Rig {
    /// The rig in `folder`, which is up, as it is now.
    ///
    /// # Errors
    /// If there is none, or another test holds it.
    pub fn attached(folder: &Folder) -> Result<Self> {
        let held = hold(folder)?;
        let state = State::expect(folder)?;
        Ok(Self {
            site: state.site(folder.clone()),
            base: state.choices,
            _held: held,
        })
    }

    /// [`Rig::swap`], without a word.
    pub fn swap_quietly(&self, component: Component, origin: Origin, node: Option<&str>) -> Result<()> {
        block_on(swap::swap(
            &self.site.folder,
            component,
            Change::To(origin),
            node,
            Progress::quiet(),
        ))
    }
}

/// Waits for whoever holds the rig now: a test in another thread or program.
fn hold(folder: &Folder) -> Result<File> {
    let path = folder.root().with_extension("held");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    flock(file.as_fd(), FlockOperation::LockExclusive)
        .with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

/// Whether the rig that is there runs, has the same programs, and started after they were built.
fn usable(site: &Site) -> Result<bool> {
    let Some(state) = State::read(&site.folder)? else {
        return Ok(false);
    };
    let supervisor = Record::read(&site.folder.supervisor_record())?.supervisor;
    let alive = supervisor.is_some_and(|supervisor| supervisor.alive());
    Ok(alive && state.phase == Phase::Up && state.nodes == NODES && state.ours == site.ours)
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime")?
        .block_on(work)
}

impl Rig {
    /// Whose program plays a component when a test begins.
    pub fn base(&self, component: Component) -> Origin {
        self.base
            .origin(component, if component.on_nodes() { "n1" } else { CONTROL_PLANE })
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn node_names(&self) -> Vec<String> {
        node_names(NODES)
    }

    /// Machines that run `component`.
    pub fn machines(&self, component: Component) -> Vec<String> {
        if component.on_nodes() {
            self.node_names()
        } else {
            vec![CONTROL_PLANE.to_owned()]
        }
    }

    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.site.folder)
    }

    /// A fresh namespace, removed when it is dropped.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::make(&self.kubectl(), name)
    }

    /// Gives `component` to `origin`, everywhere or on one node, and waits until it works.
    pub fn swap(&self, component: Component, origin: Origin, node: Option<&str>) -> Result<()> {
        block_on(swap::swap(
            &self.site.folder,
            component,
            Change::To(origin),
            node,
            Progress::new(),
        ))
    }

    /// Starts `component` again, everywhere or on one node, and waits until it works.
    pub fn restart(&self, component: Component, node: Option<&str>) -> Result<()> {
        block_on(swap::swap(
            &self.site.folder,
            component,
            Change::Restart(Vec::new()),
            node,
            Progress::new(),
        ))
    }

    /// Ends `component` on `machine`; nobody starts it again but [`Rig::start`].
    pub fn stop(&self, component: Component, machine: &str) -> Result<()> {
        self.supervisor()?
            .stop_program(&component.instance(machine), Duration::from_secs(30))
    }

    /// Starts `component` on `machine` after [`Rig::stop`].
    pub fn start(&self, component: Component, machine: &str) -> Result<()> {
        let origin = State::expect(&self.site.folder)?
            .choices
            .origin(component, machine);
        self.supervisor()?
            .start_program(program::component(&self.site, component, origin, machine))
    }

    /// Sends SIGKILL to `component` on `machine`; the supervisor starts it again.
    pub fn kill(&self, component: Component, machine: &str) -> Result<()> {
        let status = self.program(component, machine)?;
        let pid = status
            .pid
            .with_context(|| format!("{} is not running", status.instance))?;
        process::signal_pid(pid, Signal::KILL);
        Ok(())
    }

    /// How `component` on `machine` fares.
    pub fn program(&self, component: Component, machine: &str) -> Result<ProgramStatus> {
        let instance = component.instance(machine);
        let programs = self.supervisor()?.programs()?;
        programs
            .into_iter()
            .find(|program| program.instance == instance)
            .with_context(|| format!("{instance} is not there"))
    }

    /// Runs a command on a machine and waits for its end.
    pub fn exec(&self, machine: &str, argv: &[&str]) -> Result<Output> {
        let first = *up::machines(&self.site)?
            .get(machine)
            .with_context(|| format!("there is no machine {machine}"))?;
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        launch::output(
            &supervisor(&self.site.folder)?,
            first,
            &self.site.programs_cgroup(machine),
            &argv,
        )
    }

    /// The log of `component` on `machine`.
    pub fn log(&self, component: Component, machine: &str) -> PathBuf {
        self.site.folder.log(&component.instance(machine))
    }

    fn supervisor(&self) -> Result<Supervisor> {
        Supervisor::connect(&self.site.folder)
    }

    /// Puts every component where it belongs, whatever the test before left.
    fn tidy(&self) -> Result<()> {
        let state = State::expect(&self.site.folder)?;
        let running = self.supervisor()?.programs()?;
        for component in Component::ALL {
            let base = self.base(component);
            for machine in self.machines(component) {
                let instance = component.instance(&machine);
                let status = running.iter().find(|program| program.instance == instance);
                let stale = status
                    .and_then(|status| status.pid)
                    .is_some_and(process::is_stale);
                let node = component.on_nodes().then_some(machine.as_str());
                if state.choices.origin(component, &machine) != base {
                    self.swap(component, base, node)?;
                } else if status.is_none() || stale {
                    self.restart(component, node)?;
                }
            }
        }
        block_on(async {
            let mut supervisor = self.supervisor()?;
            up::nodes_ready(&self.site, &mut supervisor, NODES).await
        })
    }
}

/// Asks `probe` until it says yes, a few times a second.
///
/// # Errors
/// With its last objection, once `patience` has run out.
pub fn eventually(what: &str, patience: Duration, mut probe: impl FnMut() -> Result<()>) -> Result<()> {
    let until = Instant::now() + patience;
    loop {
        match probe() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => bail!("{what}: not within {patience:?}: {error:#}"),
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}
