//! Claims that are deleted while a pod uses them stay until it is gone; claims that no pod uses say so.
//!
//! ```text
//! claim + pods that name it --plan--> finalizer, `Unused` condition
//! ```

pub mod plan;
pub mod sync;
