//! ReplicaSets keep a number of pods.
//!
//! ```text
//! ReplicaSet + its pods --plan--> create n | delete these (ranked) ; status ; when to look again
//! pods, ReplicaSets -> cache -> queue -> sync: claim, plan, write
//! ```

pub mod plan;
pub mod rank;
pub mod status;
pub mod sync;
