//! The Kubernetes scheduler: a pure core that decides and a thin shell that watches and binds.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod cache;
pub mod config;
pub mod core;
pub mod framework;
pub mod plugins;
pub mod queue;
