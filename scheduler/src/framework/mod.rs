//! The scheduling framework: upstream's extension points, over columns.
//!
//! ```text
//! pod + Snapshot -> Framework (a profile's plugins) -> Decision { row } | Failure (a verdict on every node)
//! ```
//!
//! A plugin outside this tree needs this module's traits ([`plugin`]), what they are given ([`PodView`], [`CycleState`],
//! [`Sieve`], [`crate::cache::Snapshot`]), and a [`registry::Registry`] to enter itself in.

mod cycle;
mod diagnosis;
mod event;
mod leaders;
pub mod plugin;
mod profile;
pub mod registry;
mod reuse;
mod run;
mod score;
mod spin;
mod status;
mod verdict;
mod what_if;

pub use cycle::{CycleState, Keep, PodView};
pub use diagnosis::Diagnosis;
pub use event::{Action, Change, ClusterEvent, EventResource, Hint, Occurrence, node_events, pod_events};
pub use plugin::{MAX_BANDS, MAX_SCORE, Plugin};
pub use profile::{Framework, PluginRef};
pub(crate) use reuse::Reuse;
pub use run::{Decision, Failure};
pub use spin::Spin;
pub use status::{Code, Status};
pub use verdict::{PASS, Refusals, Sieve, Verdict, VerdictBook, VerdictId};
pub(crate) use what_if::Refitting;
