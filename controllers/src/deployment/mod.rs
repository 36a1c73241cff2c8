//! Deployments roll their pods from one template to the next, by way of ReplicaSets.
//!
//! ```text
//! Deployment + its ReplicaSets --plan--> create the new ReplicaSet | scale, annotate | delete old ones ; status ; when to look again
//!    rollout: which set grows, which shrinks        revision: annotations that number the rollouts
//!    progress: status, conditions, deadline         fenceposts: maxSurge and maxUnavailable in pods
//! ```

pub mod fenceposts;
pub mod plan;
pub mod progress;
pub mod revision;
pub mod rollout;
pub mod sync;
pub mod work;
