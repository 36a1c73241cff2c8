//! The supervisor, as seen by commands and tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::protocol::{ProgramStatus, Request, Response};
use super::server::WORD;
use crate::logs;
use crate::plan::program::Program;
use crate::plan::site::Folder;

/// A connection to the supervisor of a rig.
pub struct Supervisor {
    stream: BufReader<UnixStream>,
}

impl Supervisor {
    /// Starts a supervisor for `folder` in `cgroup`, with the program `rig`, and connects to it.
    pub fn start(folder: &Folder, rig: &std::path::Path, cgroup: &str) -> Result<Self> {
        let log = folder.log("supervisor");
        let output = logs::open(&log)?;
        let mut child = Command::new(rig)
            .arg(WORD)
            .arg(folder.root())
            .arg(cgroup)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicating a log file")?)
            .stderr(output)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("starting {}", rig.display()))?;
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(supervisor) = Self::connect(folder) {
                return Ok(supervisor);
            }
            if child.try_wait().context("waiting for the supervisor")?.is_some() || Instant::now() > until {
                bail!(
                    "the supervisor did not start ({}):\n{}",
                    log.display(),
                    logs::tail(&log, 10)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Connects to the supervisor that runs.
    pub fn connect(folder: &Folder) -> Result<Self> {
        // By way of an open folder, for a socket's path may have only 107 bytes.
        let root = std::fs::File::open(folder.root()).with_context(|| {
            format!(
                "there is no rig in {}: `rig up` makes one",
                folder.root().display()
            )
        })?;
        let path = format!("/proc/self/fd/{}/{}", root.as_raw_fd(), folder.socket_name());
        let stream = UnixStream::connect(path).with_context(|| {
            format!(
                "no rig is up in {}: `rig up` makes one, `rig down` cleans up first",
                folder.root().display()
            )
        })?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Response> {
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        self.stream
            .get_mut()
            .write_all(&text)
            .context("writing to the supervisor")?;
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .context("reading from the supervisor")?;
        if line.is_empty() {
            bail!("the supervisor is gone");
        }
        match serde_json::from_str(&line).context("reading from the supervisor")? {
            Response::Failed(why) => bail!(why),
            response => Ok(response),
        }
    }

    /// Sends a request whose answer is just that it was done.
    pub fn order(&mut self, request: &Request) -> Result<()> {
        self.ask(request).map(drop)
    }

    pub fn start_program(&mut self, program: Program) -> Result<()> {
        self.order(&Request::Start(program))
    }

    pub fn stop_program(&mut self, instance: &str, grace: Duration) -> Result<()> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.order(&Request::Stop {
            instance: instance.to_owned(),
            grace_ms,
        })
    }

    pub fn programs(&mut self) -> Result<Vec<ProgramStatus>> {
        match self.ask(&Request::List)? {
            Response::Programs(programs) => Ok(programs),
            other => bail!("the supervisor answered a list with {other:?}"),
        }
    }
}
