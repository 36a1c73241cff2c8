//! The Kubernetes scheduler: a pure core that decides, in a thin shell that watches and binds.
//!
//! ```text
//! watches (run) -> api: slim objects -> core: cache + queue + framework over plugins -> attempts
//!                                        ^ bound / not bound  <-  bind, report (run)  <-'
//! ```
//!
//! - [`api`]: what is watched, with just the fields that are read.
//! - [`cache`]: nodes as rows, facts as columns, counts kept up to date.
//! - [`framework`]: upstream's extension points; [`plugins`]: upstream's plugins. A plugin outside this tree needs the
//!   framework's traits and [`run::main_with`].
//! - [`queue`]: who is next, and what brings back those that did not fit.
//! - [`core`]: all that as one state machine, without client, clock or threads.
//! - [`config`], [`bind`], [`run`]: the program.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod bind;
pub mod cache;
pub mod config;
pub mod core;
pub mod framework;
pub mod plugins;
pub mod preempt;
pub mod queue;
pub mod run;

#[cfg(test)]
mod testing;
