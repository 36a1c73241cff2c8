//! Volumes that are deleted while a claim is bound to them stay until it is gone.

pub mod sync;
