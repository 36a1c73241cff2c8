//! Ours and upstream's side by side, on one cluster, in one run.
//!
//! ```text
//! rounds: swap everything to a side -> let it settle -> sample -> the other side ...
//! samples -> summary (minimum, median, maximum, ratio) -> docs/benchmarks.md
//! ```

pub mod idle;
pub mod page;
pub mod summary;
