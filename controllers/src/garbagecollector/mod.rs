//! What has no owner any more is collected.
//!
//! ```text
//! metadata of every kind that can be deleted -> graph: who owns whom, by uid -> work: look at this object, orphan that one's
//! object + what its owners are --plan--> delete (background, foreground, orphan) | drop references | let it go | nothing
//! ```
//!
//! An owner that the graph has not seen is a *virtual* node until the API server was asked whether it exists.

pub mod graph;
pub mod plan;
pub mod sync;
pub mod watches;
