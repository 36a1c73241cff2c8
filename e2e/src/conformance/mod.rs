//! Upstream's conformance tests against a rig of any combination.
//!
//! ```text
//! e2e.test, skipping all -> catalogue: every test with its place in the suite
//! catalogue + selection + earlier results -> plan: parallel ones, longest first; serial ones
//! plan -> queue <- ginkgo's protocol -> e2e.test processes on the control plane's machine
//! spec reports -> record: journal, logs of failures, result, JUnit -> page: docs/conformance.md
//! ```
//! The suite is upstream's, unmodified; in the place of ginkgo's command line stands [`ginkgo`], a server for the protocol
//! that its processes ask for work and report by. So the longest tests come first, every result is on disk as soon as
//! it is there, and a process that dies costs one test.

mod catalogue;
mod census;
mod check;
mod cluster;
mod estimate;
mod floor;
mod ginkgo;
mod junit;
mod page;
mod phase;
mod place;
mod process;
mod progress;
mod queue;
mod record;
mod room;
mod run;
mod select;
mod summary;
pub mod sweep;

pub use place::{Combination, Place};
pub use run::{Outcome, Request, run};
pub use select::{Only, Selection, names};

use std::path::Path;

use anyhow::Result;

/// Makes `docs/conformance.md` anew from the results of every combination in `place`.
pub fn report(place: &Place, page: &Path) -> Result<()> {
    page::write(place, page)
}
