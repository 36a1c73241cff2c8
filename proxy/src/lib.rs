//! Services on the node's data plane: Services, EndpointSlices and the Node in, nf_tables transactions out.
//!
//! ```text
//! watches -> model (which endpoints, by which policy) -> nft::Table (diff) -> one netlink transaction -> kernel
//!                                                    \-> conntrack (stale UDP flows), health (load balancers)
//! ```
//!
//! [`model`] and most of [`nft`] are pure; [`netlink`] is the wire format they are sent in.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod config;
pub mod conntrack;
pub mod health;
pub mod metrics;
pub mod model;
pub mod netlink;
pub mod nft;
pub mod run;
pub mod sync;
