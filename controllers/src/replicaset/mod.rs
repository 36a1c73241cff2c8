//! ReplicaSets and ReplicationControllers keep a number of pods.
//!
//! ```text
//! ReplicaSet (or ReplicationController, which is read as one) + its pods --plan--> create n | delete these (ranked) ; status ; when to look again
//! pods, ReplicaSets -> cache -> queue -> sync: claim, plan, write
//! ```

pub mod kind;
pub mod plan;
pub mod rank;
pub mod status;
pub mod sync;
