//! A process that is known for certain: its id and when it started, for ids are used again.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Clock ticks between boot and the start of the process (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

impl ProcessId {
    /// The process that has this id now, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = procfs::process::Process::new(i32::try_from(pid).ok()?)
            .ok()?
            .stat()
            .ok()?;
        (stat.state != 'Z').then_some(Self {
            pid,
            started: stat.starttime,
        })
    }

    pub fn me() -> Option<Self> {
        Self::of(std::process::id())
    }

    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends `signal`, unless the process is gone.
    pub fn signal(self, signal: Signal) {
        if self.alive() {
            signal_pid(self.pid, signal);
        }
    }

    /// Waits until the process is gone; `false` if `patience` ran out.
    pub fn wait_gone(self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.alive() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// Sends `signal` to `pid`; a process that is gone is no error.
pub fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether the file that `pid` runs has been replaced since, as a build does.
pub fn is_stale(pid: u32) -> bool {
    let link = std::fs::read_link(format!("/proc/{pid}/exe"));
    link.is_ok_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that are resident.
    pub resident: u64,
    /// Time on processors of the threads that it has now, to the nanosecond where the kernel keeps count.
    pub processor: Duration,
}

impl Usage {
    /// # Errors
    /// If the process is gone.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let process = i32::try_from(pid)
            .map_err(anyhow::Error::from)
            .and_then(|pid| Ok(procfs::process::Process::new(pid)?))
            .with_context(|| format!("looking at process {pid}"))?;
        let stat = process
            .stat()
            .with_context(|| format!("looking at process {pid}"))?;
        let millis = (stat.utime + stat.stime) * 1000 / procfs::ticks_per_second().max(1);
        let processor = by_threads(&process).unwrap_or(Duration::from_millis(millis));
        Ok(Self {
            resident: stat.rss * procfs::page_size(),
            processor,
        })
    }
}

/// What a program takes while it idles is less than the hundredths of a second of `/proc/PID/stat`.
fn by_threads(process: &procfs::process::Process) -> Option<Duration> {
    let nanos = process
        .tasks()
        .ok()?
        .flatten()
        .map(|thread| Some(thread.schedstat().ok()?.sum_exec_runtime));
    Some(Duration::from_nanos(nanos.sum::<Option<u64>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_apart_from_another_with_its_id() {
        let me = ProcessId::me().unwrap();
        assert!(me.alive());
        assert!(
            !ProcessId {
                started: me.started + 1,
                ..me
            }
            .alive()
        );
    }
}
