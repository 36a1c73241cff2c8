//! The one process of a rig that stays: it makes machines, runs programs and starts them again when they exit,
//! forwards loopback ports, and keeps the pod network.
//!
//! ```text
//! rig up, rig swap, tests -> client -> supervisor.sock -> server -> keeper (a thread a program)
//!                                                                -> machines (namespaces)
//!                                                                -> network thread: forward, pods
//! ```
//! It holds no policy: what runs, and with which flags, comes over the socket. What it starts is written to
//! `supervisor.json`.

pub mod client;
mod forward;
mod keeper;
mod machines;
mod pods;
pub mod protocol;
pub mod record;
pub mod server;
