//! A soak: a workload under steady requests while components are swapped and killed at random, and what that cost.
//!
//! ```text
//! seed -> dice -> step (swap | kill) -> the rig ┐
//! workload (Deployments, a StatefulSet, Jobs, Services, clients) ├─> report (restarts, failed requests, losses, leaks)
//! census of each node before and after ─────────┘
//! ```

mod census;
mod report;
mod run;
mod step;
mod workload;

pub use report::Report;
pub use run::{Plan, run};
