//! What the node and its pods use.
//!
//! ```text
//! CRI ListPodSandboxStats ─┐
//! /proc, statvfs ──────────┼─> collect ─> summary ─> /stats/summary
//! registry (start times) ──┘                 └─> exposition ─> /metrics/resource, /metrics/cadvisor
//! ```
//!
//! In: the runtime's and the kernel's counters. Out: the summary that metrics-server and `kubectl top` read, and metrics.

mod collect;
pub mod exposition;
mod machine;
pub mod summary;

pub use collect::{Stats, images};
