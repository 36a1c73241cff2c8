//! The supervisor's main loop: requests off the socket, one at a time a connection.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::keeper::Keeper;
use super::protocol::{Request, Response};
use super::record::Record;
use super::{forward, machines, pods};
use crate::machine::cgroup::Hierarchies;
use crate::machine::enter;
use crate::machine::process::ProcessId;
use crate::plan::address::CONTROL_PLANE;
use crate::plan::mounts::Machine;
use crate::plan::program::Program;
use crate::plan::site::Folder;

/// Command-line word of the supervisor.
pub const WORD: &str = "__supervise";

/// Runs the supervisor of the rig in `folder`; it never ends by itself.
pub fn run(folder: Folder, cgroup: &str) -> Result<std::convert::Infallible> {
    // Its own session: an interrupt at the terminal is not for it.
    rustix::process::setsid().context("starting a session")?;
    Hierarchies::find()?.join(cgroup)?;
    let record = Record {
        supervisor: ProcessId::me(),
        ..Record::default()
    };
    record.write(&folder.supervisor_record())?;
    let listener = listen(&folder)?;
    let supervisor = Arc::new(Supervisor {
        folder,
        record: Arc::new(Mutex::new(record)),
        machines: Mutex::default(),
        programs: Mutex::default(),
    });
    loop {
        let (stream, _) = listener
            .accept()
            .context("accepting on the supervisor's socket")?;
        let supervisor = Arc::clone(&supervisor);
        std::thread::spawn(move || {
            if let Err(error) = supervisor.serve(&stream) {
                tracing::warn!("{error:#}");
            }
        });
    }
}

/// A socket's path may have 107 bytes and a folder's many more: it is bound relative to the folder.
fn listen(folder: &Folder) -> Result<UnixListener> {
    std::env::set_current_dir(folder.root())
        .with_context(|| format!("entering {}", folder.root().display()))?;
    let name = folder.socket_name();
    let _ = std::fs::remove_file(name);
    let listener = UnixListener::bind(name).with_context(|| format!("binding {name}"))?;
    std::env::set_current_dir("/").context("entering /")?;
    Ok(listener)
}

struct Supervisor {
    folder: Folder,
    record: Arc<Mutex<Record>>,
    machines: Mutex<BTreeMap<String, machines::Running>>,
    programs: Mutex<BTreeMap<String, Keeper>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Supervisor {
    fn serve(&self, stream: &UnixStream) -> Result<()> {
        for line in BufReader::new(stream).lines() {
            let line = line.context("reading a request")?;
            let response = match serde_json::from_str(&line) {
                Ok(request) => self
                    .answer(request)
                    .unwrap_or_else(|error| Response::Failed(format!("{error:#}"))),
                Err(error) => Response::Failed(format!("reading a request: {error}")),
            };
            let mut text = serde_json::to_vec(&response)?;
            text.push(b'\n');
            let mut stream = stream;
            stream.write_all(&text).context("writing a response")?;
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> Result<Response> {
        match request {
            Request::Machine(machine) => self.make(&machine)?,
            Request::Start(program) => self.start(program)?,
            Request::Stop { instance, grace_ms } => self.stop(&instance, Duration::from_millis(grace_ms))?,
            Request::Forward { machine, port, to } => self.forward(&machine, port, to)?,
            Request::PodNetwork { kubeconfig } => self.pod_network(kubeconfig)?,
            Request::List => {
                return Ok(Response::Programs(
                    lock(&self.programs).values().map(Keeper::status).collect(),
                ));
            }
        }
        Ok(Response::Done)
    }

    fn note(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = lock(&self.record);
        change(&mut record);
        record.write(&self.folder.supervisor_record())
    }

    fn make(&self, machine: &Machine) -> Result<()> {
        let running = machines::make(machine)?;
        let first = running.first;
        lock(&self.machines).insert(machine.name.clone(), running);
        self.note(|record| {
            record.machines.insert(machine.name.clone(), first);
        })
    }

    fn first_of(&self, machine: &str) -> Result<u32> {
        let machines = lock(&self.machines);
        Ok(machines
            .get(machine)
            .ok_or_else(|| anyhow!("there is no machine {machine}"))?
            .first
            .pid)
    }

    fn start(&self, program: Program) -> Result<()> {
        let machine = self.first_of(&program.machine)?;
        let instance = program.instance.clone();
        let mut programs = lock(&self.programs);
        if programs.contains_key(&instance) {
            bail!("{instance} is running already");
        }
        let (record, file) = (Arc::clone(&self.record), self.folder.supervisor_record());
        let changed = move |instance: &str, pid: Option<u32>| {
            let mut record = lock(&record);
            match pid.and_then(ProcessId::of) {
                Some(process) => record.programs.insert(instance.to_owned(), process),
                None => record.programs.remove(instance),
            };
            if let Err(error) = record.write(&file) {
                tracing::warn!("{error:#}");
            }
        };
        programs.insert(instance, Keeper::start(program, machine, changed)?);
        Ok(())
    }

    fn stop(&self, instance: &str, grace: Duration) -> Result<()> {
        let keeper = lock(&self.programs).remove(instance);
        keeper
            .ok_or_else(|| anyhow!("{instance} is not running"))?
            .stop(grace)
    }

    fn forward(&self, machine: &str, port: u16, to: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("listening on 127.0.0.1:{port}"))?;
        in_machine(self.first_of(machine)?, move || forward::forward(listener, to))
    }

    fn pod_network(&self, kubeconfig: PathBuf) -> Result<()> {
        let machines: BTreeMap<String, u32> = lock(&self.machines)
            .iter()
            .map(|(name, running)| (name.clone(), running.first.pid))
            .collect();
        let folder = self.folder.clone();
        in_machine(self.first_of(CONTROL_PLANE)?, move || async move {
            pods::keep(folder, &kubeconfig, machines).await
        })
    }
}

/// Runs a future for good, on a thread of its own in a machine's network namespace.
fn in_machine<F: Future<Output = Result<()>>>(
    machine: u32,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<()> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = enter::thread_into_network(machine).and_then(|()| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting a runtime")
        });
        match runtime {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                let end = tokio::task::LocalSet::new().block_on(&runtime, work());
                tracing::warn!("a network task ended: {end:?}");
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    is_ready.recv().context("starting a thread")?
}
