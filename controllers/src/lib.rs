//! The controllers of kube-controller-manager.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod endpoints;
pub mod hash;
pub mod namespace;
pub mod nodeipam;
pub mod nodelifecycle;
pub mod podgc;
