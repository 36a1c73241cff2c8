//! Volume attributes classes that are deleted while a volume or a claim names them stay until none does.
//!
//! ```text
//! class + volumes and claims that name it -> finalizer
//! ```

pub mod sync;
