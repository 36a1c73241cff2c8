//! A real cluster on one machine: swaps, conformance, benchmarks.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod assets;
