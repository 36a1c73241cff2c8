//! Pods: what is wanted of each, what it is doing, one task each.

pub mod registry;
