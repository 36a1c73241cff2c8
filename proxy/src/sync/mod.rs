//! The shell: watches in, transactions out, one task.
//!
//! ```text
//! caches --Pending (names of what changed)--> Proxier::sync: resolve -> Table -> Kernel, Sweeper, health, metrics
//! ```
//!
//! A change goes to the kernel at once when nothing happened just before; while changes pour in, transactions keep a
//! distance that grows with what one costs. A transaction that the kernel refuses is followed by a table made anew,
//! with back-off.

mod family;
mod node;
mod pace;
mod pending;
mod proxier;
mod watch;

pub use node::{interface_addresses, ipv6_enabled};
pub use proxier::Proxier;
pub use watch::{ServiceCidr, Watches};
