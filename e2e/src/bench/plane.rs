//! A control plane of its own for programs that need no node: etcd, kube-apiserver, and the one under test.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use machinery::client::Config;
use machinery::testing::{ApiServer, Process, User, free_port};

use super::load::Load;
use super::meter::Meters;
use crate::control_plane;
use crate::plan::choice::{Component, Origin};

/// No node agent is there to take this taint away.
const NO_TAINTS: &str = "--disable-admission-plugins=TaintNodesByCondition";

/// All of it ends when it is dropped, or when the process ends.
pub struct Plane {
    server: ApiServer,
    pub load: Load,
    ours: PathBuf,
    program: Option<Running>,
}

struct Running {
    process: Process,
    component: Component,
    health: Health,
}

/// Where a program says that it is well.
#[derive(Clone, Copy, Debug)]
struct Health {
    port: u16,
}

/// How long a program may take until it is healthy.
const PATIENCE: Duration = Duration::from_secs(60);

impl Plane {
    /// Starts etcd and kube-apiserver: a few seconds. `ours` is the folder of our programs.
    pub async fn start(ours: &Path) -> Result<Self> {
        let server = control_plane::start_with(&[NO_TAINTS, "--delete-collection-workers=8"]).await?;
        let load = Load::new(&server.config(User::Admin))?;
        Ok(Self {
            server,
            load,
            ours: ours.to_owned(),
            program: None,
        })
    }

    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// An administrator's configuration.
    pub fn config(&self) -> Config {
        self.server.config(User::Admin)
    }

    pub fn apiserver_pid(&self) -> Result<u32> {
        self.server.pid().context("kube-apiserver has no process id")
    }

    pub fn binary(&self, component: Component, origin: Origin) -> Result<PathBuf> {
        match origin {
            Origin::Ours => {
                let path = self.ours.join(component.program());
                if !path.is_file() {
                    bail!("{} is not there: `make build` makes it", path.display());
                }
                Ok(path)
            }
            Origin::Upstream => self
                .server
                .assets()
                .program(component.program())
                .map_err(|why| anyhow!(why)),
        }
    }

    /// Writes the kubeconfig of a component, with exactly the rights that upstream's bootstrap policy gives it.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let pair = self
            .server
            .authority()
            .client(user, groups)
            .context("making a certificate")?;
        let text = crate::plan::config::kubeconfig(
            self.server.url(),
            user,
            self.server.authority().certificate(),
            &pair.certificate,
            &pair.key,
        );
        let path = self
            .folder()
            .join(format!("{}.kubeconfig", user.replace(':', "-")));
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Ends the program that runs, if one does, and starts the scheduler or the controllers with `flags` after those that
    /// they cannot do without; waits until it is healthy.
    pub async fn run(&mut self, component: Component, origin: Origin, flags: &[String]) -> Result<()> {
        self.stop().await?;
        let binary = self.binary(component, origin)?;
        let health = Health {
            port: free_port().context("looking for a free port")?,
        };
        let mut args = vec![
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", health.port),
        ];
        args.extend_from_slice(flags);
        let process = Process::start(&binary, &args, self.folder())
            .with_context(|| format!("starting {}", binary.display()))?;
        self.program = Some(Running {
            process,
            component,
            health,
        });
        self.healthy().await
    }

    /// Waits until the program under test says that it is well.
    async fn healthy(&self) -> Result<()> {
        let running = self.running()?;
        let url = format!("https://127.0.0.1:{}", running.health.port);
        let mut config = Config::explicit(&url)?;
        config.insecure = true;
        let client = machinery::client::Client::new(config)?.unpaced();
        let since = Instant::now();
        loop {
            let Err(error) = client.raw_get("/healthz").await else {
                return Ok(());
            };
            if since.elapsed() > PATIENCE || !running.process.is_alive() {
                bail!(
                    "{} is not healthy after {:.0?}: {error}\n{}",
                    running.component.program(),
                    since.elapsed(),
                    running.process.last_words()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the program under test, if one runs, and lets the next lead at once.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.program.take() {
            running.process.kill();
            self.load.drop_lease(running.component.program()).await?;
        }
        Ok(())
    }

    fn running(&self) -> Result<&Running> {
        self.program.as_ref().context("no program is under test")
    }

    /// Measures the program under test and the API server from now on.
    pub fn meters(&self) -> Result<Meters> {
        let pid = self
            .running()?
            .process
            .pid()
            .context("the program has no process id")?;
        Meters::start(pid, self.apiserver_pid()?)
    }

    /// What went wrong, and below it the last lines of the program under test.
    pub fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        let words = self
            .program
            .as_ref()
            .map(|running| running.process.last_words())
            .unwrap_or_default();
        anyhow!("{error:#}\n{words}")
    }
}
