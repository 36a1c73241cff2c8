//! CronJobs start Jobs at certain times.
//!
//! ```text
//! schedule, time zone --schedule--> next time
//! CronJob + its Jobs + now --plan--> status ; Jobs to delete ; wait | start a Job, named after its time
//! CronJobs, Jobs -> cache -> queue -> sync, and a sleep until the next time
//! ```

pub mod plan;
pub mod schedule;
pub mod sync;
pub mod times;

/// Tells a Job the time that it was meant to start at.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
