//! The kernel's connection tracking: its settings, and UDP flows that lead to endpoints which are gone.
//!
//! ```text
//! routes before + after --stale--> Stale --dump, filter--> flows --delete--> kernel
//! configuration + CPUs --settings--> sysctls --apply--> /proc
//! ```
//!
//! TCP notices a dead peer by itself. A UDP client may send for ever, and every datagram keeps its flow alive.

mod flow;
mod stale;
mod sweep;
mod sysctl;

pub use flow::Flow;
pub use stale::Stale;
pub use sweep::{SweepError, Sweeper};
pub use sysctl::{Sysctl, apply, settings};
