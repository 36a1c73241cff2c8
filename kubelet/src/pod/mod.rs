//! Pods: what is wanted of each, what it is doing, one task each.
//!
//! ```text
//! spec + observed + probe verdicts -> plan (+ backoff) -> kill, sandbox, start -> runtime
//! ```

pub mod admit;
pub mod backoff;
pub mod calm;
pub mod collect;
pub mod dispatch;
pub mod events;
pub mod files;
pub mod hook;
pub mod kill;
pub mod observed;
mod orphan;
pub mod plan;
mod plan_init;
pub mod publish;
pub mod registry;
pub mod resize;
pub mod resources;
pub mod restart;
mod restore;
pub mod rotate;
pub mod shared;
pub mod spec;
pub mod start;
mod startup;
pub mod sync;
pub mod worker;
