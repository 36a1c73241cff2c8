//! Ours and upstream's side by side, on one machine, in one run.
//!
//! ```text
//! run: names -> a rig (idle, size, pods) or a bare control plane (proxy, controllers, scheduler)
//! rounds: one side, then the other, as often as the budget lets -> samples in a table
//! table -> verdicts -> JSON, docs/benchmarks.md, docs/benchmarks/NAME.svg
//! ```
//! Tables, verdicts, sections and charts are plain functions of the samples; all else is a shell that takes them.

pub mod chart;
pub mod controllers;
pub mod facts;
pub mod idle;
pub mod load;
pub mod markdown;
pub mod meter;
pub mod page;
pub mod plane;
pub mod pods;
pub mod proxy;
pub mod report;
pub mod rounds;
pub mod run;
pub mod scheduler;
pub mod size;
pub mod summary;
pub mod table;
pub mod testbed;
pub mod watch;

/// A share of `count`, but one at least.
fn scaled(count: usize, scale: f64) -> usize {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let share = (count as f64 * scale).round() as usize;
    share.max(1)
}
