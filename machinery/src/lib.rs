//! What the four programs share.
//!
//! ```text
//! watch -> cache -> queue -> (a program's pure core) -> shell -> client -> API server
//! ```
//!
//! - [`arith`]: quantities, selectors, taints, hashes, times
//! - [`component`]: the shell of a program: flags, configuration, logs, health, authentication
//! - [`metrics`]: the process's metrics, in upstream's text format
//! - [`meta`]: names, labels, owners and the slim object metadata that every cached type embeds
//! - [`client`]: the API client: credentials, adaptive pacing, retries, `rest_client_*` metrics
//! - [`cache`]: one watch per kind and selector, kept as `Arc`s of slim types with declared indexes
//! - [`queue`]: the work queue with client-go's semantics
//! - [`lease`]: leader election that excludes upstream's programs too
//! - [`events`]: the event recorder with aggregation and spam limits
//! - [`testing`]: a manual clock, a real API server on loopback, a proxy that injects faults
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arith;
pub mod cache;
pub mod client;
pub mod component;
pub mod events;
pub mod lease;
pub mod meta;
pub mod metrics;
pub mod queue;
pub mod testing;
