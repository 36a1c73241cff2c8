//! What is said on the supervisor's socket: one line of JSON each way.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::mounts::Machine;
use crate::plan::program::Program;

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Makes a machine; answered once its first process is ready.
    Machine(Machine),
    /// Runs a program, and again whenever it exits. One of the same name must not be running.
    Start(Program),
    /// Asks a program to end, and kills it after `grace_ms`. It is not started again.
    Stop { instance: String, grace_ms: u64 },
    /// Listens on a port of the host's loopback and forwards to an address as the machine sees it.
    Forward {
        machine: String,
        port: u16,
        to: SocketAddr,
    },
    /// Keeps CNI configuration and pod routes as the nodes' `spec.podCIDRs` say.
    PodNetwork { kubeconfig: PathBuf },
    /// Everything that runs.
    List,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    Done,
    Programs(Vec<ProgramStatus>),
    Failed(String),
}

/// How a program fares.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramStatus {
    pub instance: String,
    pub machine: String,
    pub binary: PathBuf,
    pub log: PathBuf,
    /// Its process id in the host's numbering, while it runs.
    pub pid: Option<u32>,
    /// How often it has been started.
    pub starts: u32,
    /// How its last run ended: `exit status: 1`.
    pub last_exit: Option<String>,
}
