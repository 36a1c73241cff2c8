//! Real clusters on one machine, offline: made, swapped, measured, taken down.
//!
//! ```text
//! plan        what a rig looks like, as data          machine     processes, cgroups, namespaces, links
//! supervisor  the process that stays                  cluster     up, swap, down
//! cli         the `rig` program                       assets      upstream's programs and images
//! rig         a rig for tests to share                bench       ours and upstream side by side
//! registry    images on demand                        conformance  upstream's test suite
//! soak        swaps and kills under a workload       control_plane  a bare API server for tests
//! print       what a command answers
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod assets;
pub mod bench;
pub mod cli;
pub mod cluster;
pub mod conformance;
pub mod control_plane;
pub mod logs;
pub mod machine;
pub mod pki;
pub mod places;
pub mod plan;
pub mod print;
pub mod registry;
pub mod rig;
pub mod soak;
pub mod state;
pub mod supervisor;
