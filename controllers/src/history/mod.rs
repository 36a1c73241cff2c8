//! The history of a DaemonSet or StatefulSet: ControllerRevisions, as upstream's managers write and compare them.
//!
//! ```text
//! template -> data (a patch, byte for byte as Go writes it) -> hash, name
//! owner + selector + cache -> its revisions, adopted and released -> sorted
//! ```
//!
//! A revision is found again by its bytes, so a byte that differs from upstream's would roll out every pod at a hand-over.

mod data;
mod revision;
mod shell;

pub use data::{data, template};
pub use revision::{REVISION_HASH, hash, is_same, name, newest, sort};
pub use shell::{Draft, History};
