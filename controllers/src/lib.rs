//! The controllers of kube-controller-manager.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod accounttoken;
pub mod api;
pub mod budget;
pub mod caches;
pub mod certificates;
pub mod clients;
pub mod clusterrole;
pub mod config;
pub mod context;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod ephemeral;
pub mod events;
pub mod flags;
pub mod garbagecollector;
pub mod hash;
pub mod history;
pub mod job;
pub mod manager;
pub mod mirror;
pub mod names;
pub mod namespace;
pub mod nodeipam;
pub mod nodelifecycle;
pub mod ownership;
pub mod podcontrol;
pub mod podgc;
pub mod pods;
pub mod pvbinder;
pub mod pvcprotection;
pub mod pvprotection;
pub mod replicaset;
pub mod resourcequota;
pub mod rewrite;
pub mod rootca;
pub mod serviceaccount;
pub mod statefulset;
#[cfg(test)]
mod testing;
pub mod ttlafterfinished;
pub mod workload;
