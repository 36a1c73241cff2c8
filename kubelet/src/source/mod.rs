//! Where pods come from: the API server and static files.
//!
//! ```text
//! watch spec.nodeName=us ─┐
//! staticPodPath (inotify) ─┴─> Input -> pod::dispatch
//! ```

pub mod api;
pub mod defaults;
pub mod file;
pub mod mirror;
mod parse;
