//! Startup, readiness and liveness probes.
//!
//! ```text
//! pod + observed -> Probes::follow -> due(now) -> attempt (shell) -> Probes::absorb -> verdicts -> pod::plan, status
//! ```
//!
//! The machines are pure; a pod's task asks them when the next probe is due and runs it beside everything else it does.

pub mod attempt;
mod http;
mod machine;
mod set;

pub use machine::{Kind, Machine, Outcome, Settings};
pub use set::{Key, Probes};
