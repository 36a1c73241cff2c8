//! A thread for each program: starts it on its machine, waits for its end, starts it again.

use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::protocol::ProgramStatus;
use crate::logs;
use crate::machine::{enter, launch, process::signal_pid};
use crate::plan::backoff::Backoff;
use crate::plan::program::Program;

/// A program under the supervisor's care.
pub struct Keeper {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
}

struct Shared {
    program: Program,
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    pid: Option<u32>,
    starts: u32,
    last_exit: Option<String>,
    stop: bool,
    ended: bool,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Starts `program` on the machine whose first process is `machine`. `changed` is called, with the process id,
    /// whenever the program has started or ended.
    pub fn start(
        program: Program,
        machine: u32,
        changed: impl Fn(&str, Option<u32>) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            program,
            now: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(shared.program.instance.clone())
            .spawn(move || {
                if let Err(error) = keep(&theirs, machine, &changed) {
                    logs::note(&theirs.program.log, &format!("{error:#}"));
                    theirs.now().last_exit = Some(format!("{error:#}"));
                }
                theirs.now().ended = true;
                theirs.changed.notify_all();
            })
            .context("starting a thread")?;
        Ok(Self { shared, thread })
    }

    pub fn status(&self) -> ProgramStatus {
        let (program, now) = (&self.shared.program, self.shared.now());
        ProgramStatus {
            instance: program.instance.clone(),
            machine: program.machine.clone(),
            binary: program.argv.first().map(Into::into).unwrap_or_default(),
            log: program.log.clone(),
            pid: now.pid,
            starts: now.starts,
            last_exit: now.last_exit.clone(),
        }
    }

    /// Ends the program for good: SIGTERM, and SIGKILL once `grace` has passed.
    pub fn stop(self, grace: Duration) -> Result<()> {
        let mut now = self.shared.now();
        now.stop = true;
        self.shared.changed.notify_all();
        for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, Duration::from_secs(10))] {
            if let Some(pid) = now.pid {
                signal_pid(pid, signal);
            }
            now = self
                .shared
                .changed
                .wait_timeout_while(now, patience, |now| !now.ended)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let ended = now.ended;
        drop(now);
        if !ended {
            return Err(anyhow!("{} does not die", self.shared.program.instance));
        }
        self.thread
            .join()
            .map_err(|_| anyhow!("the keeper of a program panicked"))
    }
}

fn keep(shared: &Shared, machine: u32, changed: &impl Fn(&str, Option<u32>)) -> Result<()> {
    enter::children_into(machine)?;
    let program = &shared.program;
    let mut backoff = Backoff::default();
    loop {
        let since = Instant::now();
        {
            let mut now = shared.now();
            if now.stop {
                return Ok(());
            }
            logs::note(&program.log, &format!("starting {}", program.argv.join(" ")));
            match launch::spawn(machine, program) {
                Ok(child) => {
                    now.pid = Some(child.id());
                    now.starts += 1;
                    drop(now);
                    changed(&program.instance, Some(child.id()));
                    let exit = wait(shared, child)?;
                    logs::note(&program.log, &exit);
                }
                Err(error) if now.starts == 0 => return Err(error),
                // It could be started before: what is in the way, a full disk say, may pass.
                Err(error) => now.last_exit = Some(format!("not started: {error:#}")),
            }
        }
        changed(&program.instance, None);
        let pause = backoff.after(since.elapsed());
        let now = shared.now();
        drop(shared.changed.wait_timeout_while(now, pause, |now| !now.stop));
    }
}

/// Waits for the end, and forgets the process id before the kernel may give it to another.
fn wait(shared: &Shared, mut child: Child) -> Result<String> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id")?;
    while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        if error != rustix::io::Errno::INTR {
            return Err(error).context("waiting for a program");
        }
    }
    let mut now = shared.now();
    now.pid = None;
    let exit = child.wait().context("waiting for a program")?.to_string();
    now.last_exit = Some(exit.clone());
    Ok(exit)
}
