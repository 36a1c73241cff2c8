//! The two kinds that keep a number of pods.

use crate::api::{ReplicaSet, ReplicationController};
use machinery::meta::resources::{REPLICA_SETS, REPLICATION_CONTROLLERS};
use machinery::meta::{Object, Resource};

/// A kind that keeps a number of pods, seen as a ReplicaSet.
pub trait Replicas: Object {
    const RESOURCE: &Resource;
    /// Upstream's name of the queue, for the metrics.
    const QUEUE: &str;
    /// Whether the status has a place for pods that are on their way out.
    const TELLS_TERMINATING: bool;
    fn set(&self) -> &ReplicaSet;
}

impl Replicas for ReplicaSet {
    const RESOURCE: &Resource = &REPLICA_SETS;
    const QUEUE: &str = "replicaset";
    const TELLS_TERMINATING: bool = true;
    fn set(&self) -> &ReplicaSet {
        self
    }
}

impl Replicas for ReplicationController {
    const RESOURCE: &Resource = &REPLICATION_CONTROLLERS;
    const QUEUE: &str = "replicationmanager";
    const TELLS_TERMINATING: bool = false;
    fn set(&self) -> &ReplicaSet {
        &self.0
    }
}
