//! Pods: what is wanted of each, what it is doing, one task each.
//!
//! ```text
//! spec + observed + probe verdicts -> plan (+ backoff) -> kill, sandbox, start -> runtime
//! ```

pub mod backoff;
pub mod observed;
pub mod plan;
mod plan_init;
pub mod registry;
pub mod resources;
pub mod restart;
pub mod spec;
