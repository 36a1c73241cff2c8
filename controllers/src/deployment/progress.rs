//! The status of a Deployment: counts, conditions, and whether a rollout still makes progress.

use super::work::{Set, Work};
use crate::api::{ConditionStatus, Deployment, DeploymentCondition, DeploymentStatus};
use jiff::{SignedDuration, Timestamp};
use machinery::meta::Time;
use std::time::Duration;

pub const AVAILABLE: &str = "Available";
pub const PROGRESSING: &str = "Progressing";
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";

/// When to look at the Deployment again although nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Now, with back-off.
    Backoff,
    After(Duration),
}

/// The deadline for progress, if it has one.
pub fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment
        .spec
        .progress_deadline_seconds
        .filter(|seconds| *seconds != i32::MAX)
}

pub fn condition<'s>(status: &'s DeploymentStatus, kind: &str) -> Option<&'s DeploymentCondition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

/// A condition that is observed now.
pub fn observed(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        kind: kind.into(),
        status,
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        reason: reason.into(),
        message: message.into(),
    }
}

/// Sets a condition, unless one of the same status and reason is there; the transition time moves only with the status.
pub fn set_condition(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(held) = condition(status, &new.kind) {
        if held.status == new.status && held.reason == new.reason {
            return;
        }
        if held.status == new.status {
            new.last_transition_time = held.last_transition_time;
        }
    }
    remove_condition(status, &new.kind);
    status.conditions.push(new);
}

pub fn remove_condition(status: &mut DeploymentStatus, kind: &str) {
    status.conditions.retain(|condition| condition.kind != kind);
}

/// All wanted pods are new and available, and no old ones are left.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.spec.replicas;
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

/// More new pods, fewer old ones, or more that are ready or available than when the status was last written.
fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    new.updated_replicas > old.updated_replicas
        || new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

impl Work<'_> {
    /// Counts and availability, with the conditions set so far.
    pub fn counted(&self) -> DeploymentStatus {
        let d = self.deployment;
        let available = self.total(|set| set.status.available_replicas);
        let mut status = DeploymentStatus {
            observed_generation: d.metadata.generation,
            replicas: self.total(|set| set.status.replicas),
            updated_replicas: self.new_set().map_or(0, |set| set.status.replicas),
            ready_replicas: self.total(|set| set.status.ready_replicas),
            available_replicas: available,
            unavailable_replicas: (self.replicas() - available).max(0),
            terminating_replicas: self.terminating(),
            conditions: self.status.conditions.clone(),
            collision_count: self.status.collision_count,
        };
        let condition = if available >= d.spec.replicas - self.fenceposts.unavailable {
            (
                ConditionStatus::True,
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            )
        } else {
            (
                ConditionStatus::False,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        let (state, reason, message) = condition;
        set_condition(
            &mut status,
            observed(AVAILABLE, state, reason, message.to_owned(), self.now),
        );
        status
    }

    /// Unknown while one of the sets that a controller has seen does not tell.
    fn terminating(&self) -> Option<i32> {
        let told = |set: &Set| match set.status.terminating_replicas {
            None if set.status.observed_generation == 0 => Some(0),
            told => told,
        };
        self.sets.iter().map(told).sum()
    }

    /// The status during a rollout, with its progress.
    pub fn rolled(&self) -> DeploymentStatus {
        let d = self.deployment;
        let mut status = self.counted();
        let held = condition(&self.status, PROGRESSING);
        let was_complete = status.replicas == status.updated_replicas
            && held.is_some_and(|held| held.reason == NEW_SET_AVAILABLE);
        match deadline(d) {
            None => remove_condition(&mut status, PROGRESSING),
            Some(_) if was_complete => {}
            Some(seconds) => self.estimate(&mut status, held, seconds),
        }
        match self.replica_failure() {
            Some(failure) => set_condition(&mut status, failure),
            None => remove_condition(&mut status, REPLICA_FAILURE),
        }
        status
    }

    fn estimate(&self, status: &mut DeploymentStatus, held: Option<&DeploymentCondition>, deadline: i32) {
        let d = self.deployment;
        let subject = self.new_set().map_or_else(
            || format!("Deployment {:?}", d.metadata.name.as_str()),
            |set| format!("ReplicaSet {:?}", set.name),
        );
        if is_complete(d, status) {
            let message = format!("{subject} has successfully progressed.");
            set_condition(
                status,
                observed(
                    PROGRESSING,
                    ConditionStatus::True,
                    NEW_SET_AVAILABLE,
                    message,
                    self.now,
                ),
            );
        } else if is_progressing(&self.status, status) {
            let mut progress = observed(
                PROGRESSING,
                ConditionStatus::True,
                "ReplicaSetUpdated",
                format!("{subject} is progressing."),
                self.now,
            );
            if let Some(held) = held {
                // Written anew although the reason may be the same: its update time is what the deadline counts from.
                if held.status == ConditionStatus::True {
                    progress.last_transition_time = held.last_transition_time;
                }
                remove_condition(status, PROGRESSING);
            }
            set_condition(status, progress);
        } else if self.is_timed_out(status, deadline) {
            let message = format!("{subject} has timed out progressing.");
            set_condition(
                status,
                observed(PROGRESSING, ConditionStatus::False, TIMED_OUT, message, self.now),
            );
        }
    }

    fn is_timed_out(&self, status: &DeploymentStatus, deadline: i32) -> bool {
        match condition(status, PROGRESSING) {
            None => false,
            Some(held) if held.reason == NEW_SET_AVAILABLE => false,
            Some(held) if held.reason == TIMED_OUT => true,
            Some(held) => {
                let since = held.last_update_time.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
                since + SignedDuration::from_secs(deadline.into()) < self.now
            }
        }
    }

    /// A set's trouble with creating or deleting pods, the new set's first.
    fn replica_failure(&self) -> Option<DeploymentCondition> {
        let failing = |set: &Set| {
            set.status
                .conditions
                .iter()
                .find(|condition| condition.kind == REPLICA_FAILURE)
                .cloned()
        };
        let failure = self
            .new_set()
            .and_then(failing)
            .or_else(|| self.sets.iter().find_map(failing))?;
        Some(DeploymentCondition {
            kind: failure.kind,
            status: failure.status,
            last_update_time: failure.last_transition_time,
            last_transition_time: failure.last_transition_time,
            reason: failure.reason,
            message: failure.message,
        })
    }

    /// When the deadline passes, if a rollout may be stuck.
    pub fn recheck(&self, status: &DeploymentStatus) -> Option<Recheck> {
        let deadline = deadline(self.deployment)?;
        let held = condition(&self.status, PROGRESSING)?;
        if is_complete(self.deployment, status) || held.reason == TIMED_OUT {
            return None;
        }
        let since = held.last_update_time.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let left = (since + SignedDuration::from_secs(deadline.into())).duration_since(self.now);
        if left < SignedDuration::from_secs(1) {
            return Some(Recheck::Backoff);
        }
        // A second more, since times on the wire are whole seconds.
        Some(Recheck::After(left.unsigned_abs() + Duration::from_secs(1)))
    }
}
