//! The copies that a plan is worked out on: what each ReplicaSet and the Deployment's status are to become.

use super::fenceposts::Fenceposts;
use crate::api::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetStatus};
use jiff::Timestamp;
use machinery::meta::{Annotations, Time};
use std::sync::Arc;

/// A ReplicaSet as it is and as it is to be.
#[derive(Clone, Debug)]
pub struct Set {
    /// `None`: it does not exist yet.
    pub held: Option<Arc<ReplicaSet>>,
    pub name: String,
    pub replicas: i32,
    pub min_ready_seconds: i32,
    pub annotations: Annotations,
    pub status: ReplicaSetStatus,
}

impl Set {
    pub fn existing(held: &Arc<ReplicaSet>) -> Self {
        Self {
            held: Some(held.clone()),
            name: held.metadata.name.to_string(),
            replicas: held.spec.replicas,
            min_ready_seconds: held.spec.min_ready_seconds,
            annotations: held.metadata.annotations.clone(),
            status: held.status.clone(),
        }
    }

    /// Sorts from old to new; a set that is yet to be created is the newest.
    pub fn age_key(&self) -> (bool, Option<Time>, String) {
        let created = self
            .held
            .as_ref()
            .and_then(|held| held.metadata.creation_timestamp);
        (self.held.is_none(), created, self.name.clone())
    }

    pub fn is_active(&self) -> bool {
        self.replicas > 0
    }
}

/// A plan in the making.
pub struct Work<'a> {
    pub deployment: &'a Deployment,
    pub now: Timestamp,
    pub fenceposts: Fenceposts,
    /// From old to new, the new one (of the Deployment's template) among them once it exists.
    pub sets: Vec<Set>,
    /// Which of the sets is the new one.
    pub new: Option<usize>,
    /// The status so far: conditions that planning itself sets.
    pub status: DeploymentStatus,
    /// The Deployment's revision annotation is to become this.
    pub revision: Option<String>,
    /// Old sets that are no longer kept for history.
    pub deletions: Vec<usize>,
}

impl<'a> Work<'a> {
    pub fn new(deployment: &'a Deployment, replica_sets: &[Arc<ReplicaSet>], now: Timestamp) -> Self {
        let mut sets: Vec<_> = replica_sets.iter().map(Set::existing).collect();
        sets.sort_by_cached_key(Set::age_key);
        // Several may match after an upgrade that changed the hash: the oldest is the one.
        let wanted = deployment.spec.template.id();
        let new = sets.iter().position(|set| {
            set.held
                .as_ref()
                .is_some_and(|held| held.spec.template.id() == wanted)
        });
        Self {
            deployment,
            now,
            fenceposts: Fenceposts::of(&deployment.spec),
            sets,
            new,
            status: deployment.status.clone(),
            revision: None,
            deletions: Vec::new(),
        }
    }

    /// Indices of the old sets, from old to new.
    pub fn old(&self) -> Vec<usize> {
        (0..self.sets.len())
            .filter(|index| Some(*index) != self.new)
            .collect()
    }

    pub fn new_set(&self) -> Option<&Set> {
        self.new.and_then(|index| self.sets.get(index))
    }

    /// The sum over all sets.
    pub fn total(&self, of: impl Fn(&Set) -> i32) -> i32 {
        self.sets.iter().map(of).sum()
    }

    /// Pods wanted over all sets.
    pub fn replicas(&self) -> i32 {
        self.total(|set| set.replicas)
    }
}
