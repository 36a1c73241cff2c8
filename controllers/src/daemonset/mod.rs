//! DaemonSets keep a pod on every node that they may run on.
//!
//! ```text
//! template -> placement (where it may run, what its pods tolerate)
//! DaemonSet + nodes + its pods by node --plan--> create on these nodes | delete these pods ; status
//! old pods + strategy                  --roll--> the same, within maxUnavailable or maxSurge
//! DaemonSets, pods, nodes, revisions -> cache -> queue -> sync: revisions, claim, plan, write
//! ```

pub mod failures;
pub mod placement;
pub mod plan;
#[cfg(test)]
mod plan_tests;
pub mod revisions;
pub mod roll;
pub mod status;
pub mod sync;
pub mod template;
