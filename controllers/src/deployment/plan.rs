//! What a Deployment does next.

use super::progress::{self, PROGRESSING, Recheck, observed, set_condition};
use super::revision::{self, REVISION, annotate};
use super::work::{Set, Work};
use crate::api::{ConditionStatus, Deployment, DeploymentStatus, ReplicaSet, ReplicaSetStatus, Strategy};
use jiff::Timestamp;
use machinery::meta::Annotations;
use std::sync::Arc;

/// The longest name of a ReplicaSet.
const NAME_LENGTH: usize = 253;

/// What is to be written, in this order: the new set, the other sets, deletions, the status.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: Option<NewSet>,
    pub updates: Vec<Update>,
    /// Old ReplicaSets that are no longer kept.
    pub deletions: Vec<Arc<ReplicaSet>>,
    /// `None` when it is as it should be.
    pub status: Option<Status>,
    pub recheck: Option<Recheck>,
}

/// A ReplicaSet that is to be created.
#[derive(Debug)]
pub struct NewSet {
    pub name: String,
    pub hash: String,
    pub replicas: i32,
    pub annotations: Annotations,
}

/// Changes of one ReplicaSet.
#[derive(Debug)]
pub struct Update {
    pub held: Arc<ReplicaSet>,
    /// The new number of pods, where it changes.
    pub replicas: Option<i32>,
    pub min_ready_seconds: Option<i32>,
    /// Annotations that are new or have another value.
    pub annotations: Vec<(String, String)>,
}

/// What the Deployment's status subresource is to hold, which includes its revision annotation.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub status: DeploymentStatus,
    pub revision: Option<String>,
}

/// Works out the next step. `sets` are the ReplicaSets that the Deployment owns; `old_pods_run` tells whether any pod runs whose
/// owner is not the ReplicaSet with this uid (asked for only when recreating).
///
/// # Errors
/// When the pod template is not readable.
pub fn plan(
    deployment: &Deployment,
    sets: &[Arc<ReplicaSet>],
    old_pods_run: impl FnOnce(Option<&str>) -> bool,
    now: Timestamp,
) -> Result<Plan, serde_json::Error> {
    let mut work = Work::new(deployment, sets, now);
    let mut create = None;
    work.sync_revision();
    let status = if deployment.metadata.is_deleting() {
        work.counted()
    } else {
        work.note_pause();
        if deployment.spec.paused || work.is_scaling() {
            work.scale();
            if deployment.spec.paused {
                work.cleanup();
            }
            work.counted()
        } else {
            match deployment.spec.strategy {
                Strategy::Recreate => create = work.recreate(old_pods_run)?,
                Strategy::RollingUpdate { .. } => create = work.rolling_update()?,
            }
            work.rolled()
        }
    };
    Ok(work.finish(create, status))
}

/// The status after the name of the new set turned out to be taken by another template: the next try has another hash.
pub fn collided(deployment: &Deployment) -> Status {
    let mut status = deployment.status.clone();
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    Status {
        status,
        revision: None,
    }
}

/// The status after the new set could not be created.
pub fn creation_failed(deployment: &Deployment, message: String, now: Timestamp) -> Option<Status> {
    progress::deadline(deployment)?;
    let mut status = deployment.status.clone();
    set_condition(
        &mut status,
        observed(
            PROGRESSING,
            ConditionStatus::False,
            "ReplicaSetCreateError",
            message,
            now,
        ),
    );
    (status != deployment.status).then_some(Status {
        status,
        revision: None,
    })
}

/// `DEPLOYMENT-HASH`, cut to what a name may be long.
fn set_name(deployment: &str, hash: &str) -> String {
    let mut end = deployment.len().min(NAME_LENGTH.saturating_sub(hash.len() + 1));
    while !deployment.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", &deployment[..end])
}

impl Work<'_> {
    /// Brings the new set's annotations, and with them the Deployment's revision, up to date.
    fn sync_revision(&mut self) {
        let (d, next) = (self.deployment, self.next_revision());
        let Some(set) = self.new.and_then(|index| self.sets.get_mut(index)) else {
            return;
        };
        annotate(d, &mut set.annotations, next);
        set.min_ready_seconds = d.spec.min_ready_seconds;
        self.revision = Some(set.annotations.get(REVISION).unwrap_or_default().to_owned());
        let message = format!("Found new replica set {:?}", set.name);
        if progress::deadline(d).is_some() && progress::condition(&self.status, PROGRESSING).is_none() {
            set_condition(
                &mut self.status,
                observed(
                    PROGRESSING,
                    ConditionStatus::True,
                    "FoundNewReplicaSet",
                    message,
                    self.now,
                ),
            );
        }
    }

    /// A pause and its end are conditions, so that paused time does not count for the deadline.
    fn note_pause(&mut self) {
        if progress::deadline(self.deployment).is_none() {
            return;
        }
        let reason = progress::condition(&self.status, PROGRESSING)
            .map(|held| held.reason.to_string())
            .unwrap_or_default();
        let was_paused = reason == "DeploymentPaused";
        let (reason, message) = match self.deployment.spec.paused {
            _ if reason == progress::TIMED_OUT => return,
            true if !was_paused => ("DeploymentPaused", "Deployment is paused"),
            false if was_paused => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        set_condition(
            &mut self.status,
            observed(
                PROGRESSING,
                ConditionStatus::Unknown,
                reason,
                message.to_owned(),
                self.now,
            ),
        );
    }

    fn rolling_update(&mut self) -> Result<Option<NewSet>, serde_json::Error> {
        let create = self.ensure_new()?;
        if !self.roll() && progress::is_complete(self.deployment, &self.status) {
            self.cleanup();
        }
        Ok(create)
    }

    fn recreate(
        &mut self,
        old_pods_run: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Option<NewSet>, serde_json::Error> {
        if self.stop_old() {
            return Ok(None);
        }
        let uid = self
            .new_set()
            .and_then(|set| set.held.clone())
            .map(|held| held.metadata.uid.clone());
        let old: i32 = self
            .old()
            .iter()
            .filter_map(|index| self.sets.get(*index))
            .map(|set| set.status.replicas)
            .sum();
        if old > 0 || old_pods_run(uid.as_deref()) {
            return Ok(None);
        }
        let create = self.ensure_new()?;
        self.start_new();
        if progress::is_complete(self.deployment, &self.status) {
            self.cleanup();
        }
        Ok(create)
    }

    /// The new set, if it does not exist yet.
    fn ensure_new(&mut self) -> Result<Option<NewSet>, serde_json::Error> {
        let d = self.deployment;
        if self.new.is_some() {
            return Ok(None);
        }
        let hash = d.spec.template.hash(self.status.collision_count)?;
        let name = set_name(&d.metadata.name, &hash);
        let number = self.next_revision();
        let mut annotations = Annotations::new();
        annotate(d, &mut annotations, number);
        let mut set = Set {
            held: None,
            name: name.clone(),
            replicas: self.new_size(0),
            min_ready_seconds: d.spec.min_ready_seconds,
            annotations,
            status: ReplicaSetStatus::default(),
        };
        revision::set_sizes(&mut set, d.spec.replicas, d.spec.replicas + self.fenceposts.surge);
        let create = NewSet {
            name,
            hash,
            replicas: set.replicas,
            annotations: set.annotations.clone(),
        };
        self.revision = Some(number.to_string());
        if progress::deadline(d).is_some() {
            let message = format!("Created new replica set {:?}", set.name);
            set_condition(
                &mut self.status,
                observed(
                    PROGRESSING,
                    ConditionStatus::True,
                    "NewReplicaSetCreated",
                    message,
                    self.now,
                ),
            );
        }
        self.new = Some(self.sets.len());
        self.sets.push(set);
        Ok(Some(create))
    }

    fn finish(self, create: Option<NewSet>, status: DeploymentStatus) -> Plan {
        let d = self.deployment;
        let revision = self
            .revision
            .clone()
            .filter(|revision| d.metadata.annotations.get(REVISION) != Some(revision));
        let changed = status != d.status || revision.is_some();
        Plan {
            create,
            updates: self.sets.iter().filter_map(update).collect(),
            deletions: self
                .deletions
                .iter()
                .filter_map(|index| self.sets.get(*index)?.held.clone())
                .collect(),
            recheck: if changed { None } else { self.recheck(&status) },
            status: changed.then_some(Status { status, revision }),
        }
    }
}

fn update(set: &Set) -> Option<Update> {
    let held = set.held.as_ref()?;
    let update = Update {
        replicas: Some(set.replicas).filter(|replicas| *replicas != held.spec.replicas),
        min_ready_seconds: Some(set.min_ready_seconds)
            .filter(|seconds| *seconds != held.spec.min_ready_seconds),
        annotations: set
            .annotations
            .iter()
            .filter(|(key, value)| held.metadata.annotations.get(key) != Some(value))
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        held: held.clone(),
    };
    (update.replicas.is_some() || update.min_ready_seconds.is_some() || !update.annotations.is_empty())
        .then_some(update)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
