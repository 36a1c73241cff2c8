//! Into a machine's namespaces, by way of its first process.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const SPACES: [(&str, LinkNameSpaceType); 4] = [
    ("net", LinkNameSpaceType::Network),
    ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ("ipc", LinkNameSpaceType::InterProcessCommunication),
    // Last: afterwards /proc is the machine's own.
    ("mnt", LinkNameSpaceType::Mount),
];

fn open(pid: u32, space: &str) -> Result<File> {
    let path = format!("/proc/{pid}/ns/{space}");
    File::open(&path).with_context(|| format!("opening {path}: is the machine still up?"))
}

fn join(file: &File, kind: LinkNameSpaceType) -> Result<()> {
    move_into_link_name_space(file.as_fd(), Some(kind))
        .with_context(|| format!("entering a {kind:?} namespace"))
}

/// Children of the calling thread will be born in the process namespace of `pid`. The thread can start no thread
/// afterwards.
pub fn children_into(pid: u32) -> Result<()> {
    join(&open(pid, "pid")?, LinkNameSpaceType::ProcessID)
}

/// Moves the calling process, which has but one thread, into all other namespaces of `pid`.
pub fn process_into(pid: u32) -> Result<()> {
    let files = SPACES
        .iter()
        .map(|(name, kind)| Ok((open(pid, name)?, *kind)))
        .collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|(file, kind)| join(file, *kind))
}

/// Moves the calling thread, and no other, into the network namespace of `pid`.
pub fn thread_into_network(pid: u32) -> Result<()> {
    join(&open(pid, "net")?, LinkNameSpaceType::Network)
}

/// Runs `work` on a thread of its own in the network namespace of `pid`.
pub fn in_network<T: Send + 'static>(
    pid: u32,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    std::thread::spawn(move || {
        thread_into_network(pid)?;
        work()
    })
    .join()
    .map_err(|_| anyhow!("a thread in the network namespace of process {pid} panicked"))?
}
