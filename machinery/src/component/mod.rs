//! The shell of a component, as upstream's components have it: flags over a configuration file,
//! logging, signals, and a server with health, metrics and configuration behind authentication and
//! authorization.
//!
//! ```text
//! argv -> flags -> config (file, then flags over it) -> the component's own run
//!                                 logging, shutdown, serving (health, /metrics, /configz) beside it
//! ```

pub mod auth;
pub mod config;
pub mod document;
pub mod flags;
pub mod gates;
pub mod logging;
mod memory;
pub mod runtime;
pub mod secure;
pub mod serving;
pub mod shutdown;
pub mod version;
