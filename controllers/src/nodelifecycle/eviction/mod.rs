//! Pods leave nodes with `NoExecute` taints, at once or as long after as they tolerate it.
//!
//! ```text
//! node taints + pod tolerations --plan--> stay | leave at once | leave after a while
//! verdicts + what was planned before --schedule--> DisruptionTarget condition, then delete
//! ```

pub mod metrics;
pub mod plan;
pub mod schedule;
pub mod sync;
