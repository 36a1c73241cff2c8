//! The node agent.
//!
//! ```text
//! source (API, static files) -> pod::registry -> one task a pod: pod::plan -> pod::sync -> CRI, volumes, cgroups
//!            ^                        ^                                          |
//!            |          CRI events, probe results, timers wake just that pod     v
//!            +------------------------------------------------------- status -> API (pods/status)
//! ```
//!
//! What decides is in `plan.rs` files (pure: no clock, no I/O); what acts is in `sync.rs` and `run.rs` beside them.
//! [`node`] registers the node and keeps its status and lease; [`server`] answers on 10250 out of [`context::Node`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::needless_pass_by_value
    )
)]

pub mod cgroup;
pub mod config;
pub mod context;
pub mod cri;
pub mod env;
pub mod image;
pub mod ledger;
pub mod node;
pub mod pod;
pub mod probe;
pub mod run;
pub mod server;
pub mod source;
pub mod stats;
pub mod status;
pub mod volume;
