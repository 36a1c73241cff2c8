//! Jobs run pods until enough of them have succeeded, and count each of them once.
//!
//! ```text
//! Job + its pods --tally--> counts --verdict--> goes on | is over, and why --plan--> create | remove pods
//!                                                                 --track--> status, finalizers to take off
//! pods, Jobs -> cache -> queue -> sync: claim, plan, enact, write what is to be counted, free the pods, write the counts
//! ```
//!
//! A pod that has ended is held by a finalizer until the Job's status names it, so that no end is lost and none counts twice
//! (KEP-2307): first its uid is written to `uncountedTerminatedPods`, then its finalizer is taken off, then it is added to a counter.

pub mod awaited;
pub mod body;
pub mod failures;
pub mod indexes;
pub mod orphans;
pub mod plan;
#[cfg(test)]
mod plan_tests;
pub mod policy;
pub mod removal;
pub mod sync;
pub mod tally;
pub mod track;
pub mod verdict;

/// Holds a pod until its end is counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The annotation (and label) with a pod's completion index.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Failures of earlier pods of the index: those that counted, and those that a policy ignored.
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
