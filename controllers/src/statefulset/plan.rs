//! What to do next, and what the status is to be.

use super::identity::{identity_matches, ordinal, storage_matches};
use crate::api::{Phase, Pod, StatefulSet, StatefulSetStatus, StatefulSetStrategy};
use crate::history::REVISION_HASH;
use jiff::{SignedDuration, Timestamp};
use machinery::arith::IntOrString;
use machinery::meta::Istr;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// A StatefulSet and the world as it is seen.
pub struct Observed<'a, C> {
    pub set: &'a StatefulSet,
    pub pods: &'a [Arc<Pod>],
    /// The names of the revisions.
    pub current: &'a Istr,
    pub update: &'a Istr,
    pub claims: C,
    pub now: Timestamp,
}

/// What the plan asks about the claims.
pub trait Claims {
    /// Whether a claim of a pod that is gone keeps the pod with this ordinal from being made.
    fn block(&self, ordinal: i64) -> bool;
    /// Whether the pod's claims belong to whom they should.
    fn match_policy(&self, pod: &Pod) -> bool;
}

/// Something to do for one pod.
#[derive(Clone, Debug)]
pub enum Action {
    /// Create the claims and then the pod with this ordinal; `updated`: of the update revision, else of the current one.
    Create {
        ordinal: i64,
        updated: bool,
    },
    /// Create claims that a pending pod lacks, and see to their owners.
    MakeClaims(Arc<Pod>),
    /// Give the pod back its labels and claims.
    Mend(Arc<Pod>),
    /// See to the owners of the claims of a pod that is to go.
    OwnClaims(Arc<Pod>),
    Delete(Arc<Pod>),
    /// Delete a pod of an old revision: it no longer counts as a current replica.
    Replace(Arc<Pod>),
}

/// What to do, in order. Where pods come and go all at once, the actions of a stage do not wait for each other, but a stage
/// starts only when the one before it went well.
#[derive(Debug)]
pub struct Plan {
    pub stages: Vec<Vec<Action>>,
    pub status: StatefulSetStatus,
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.phase == Phase::Running && pod.is_ready()
}

fn revision(pod: &Pod) -> &str {
    pod.metadata.labels.get(REVISION_HASH).unwrap_or_default()
}

/// A place in the row of ordinals.
enum Replica<'p> {
    Pod(&'p Arc<Pod>),
    Missing { ordinal: i64 },
}

impl<C: Claims> Observed<'_, C> {
    fn is_available(&self, pod: &Pod) -> bool {
        pod.is_available(self.set.spec.min_ready_seconds, self.now)
    }

    fn is_unavailable(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || pod.metadata.is_deleting()
    }

    /// Whether a pod that is missing is made of the update revision.
    fn comes_updated(&self, ordinal: i64) -> bool {
        let start = self.set.spec.ordinals().start;
        match &self.set.spec.update_strategy {
            StatefulSetStrategy::RollingUpdate { rolling_update: None } => {
                ordinal >= start + i64::from(self.set.status.current_replicas)
            }
            StatefulSetStrategy::RollingUpdate {
                rolling_update: Some(rolling),
            } => ordinal >= start + i64::from(rolling.partition.unwrap_or(0)),
            _ => true,
        }
    }

    fn status(&self) -> StatefulSetStatus {
        let held = &self.set.status;
        let mut status = StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            current_revision: self.current.clone(),
            update_revision: self.update.clone(),
            collision_count: held.collision_count,
            conditions: held.conditions.clone(),
            ..StatefulSetStatus::default()
        };
        for pod in self.pods {
            status.replicas += 1;
            if is_ready(pod) {
                status.ready_replicas += 1;
                status.available_replicas += i32::from(self.is_available(pod));
            }
            if !pod.metadata.is_deleting() {
                status.current_replicas += i32::from(revision(pod) == self.current.as_str());
                status.updated_replicas += i32::from(revision(pod) == self.update.as_str());
            }
        }
        status
    }

    /// Makes the plan.
    pub fn plan(&self) -> Plan {
        let status = self.status();
        let nothing = |status| Plan {
            stages: Vec::new(),
            status,
        };
        if self.set.metadata.is_deleting() {
            return nothing(status);
        }
        let range = self.set.spec.ordinals();
        let (mut replicas, mut condemned) = (Vec::new(), Vec::new());
        for place in range.clone() {
            let pod = self.pods.iter().find(|pod| ordinal(pod) == Some(place));
            replicas.push(pod.map_or(Replica::Missing { ordinal: place }, Replica::Pod));
        }
        for pod in self.pods {
            if ordinal(pod).is_some_and(|place| !range.contains(&place)) {
                condemned.push(pod);
            }
        }
        condemned.sort_by_key(|pod| Reverse(ordinal(pod)));
        let ordered = !self.set.spec.is_parallel();
        let mut stages = Vec::new();

        let mut stage = Vec::new();
        for replica in &replicas {
            if self.tend(replica, &mut stage) == Blocked::Yes && ordered {
                stages.push(stage);
                return Plan { stages, status };
            }
        }
        stages.push(stage);

        let strays = condemned.iter().filter(|pod| !self.claims.match_policy(pod));
        stages.push(strays.map(|pod| Action::OwnClaims((*pod).clone())).collect());

        if self.condemn(&replicas, &condemned, ordered, &mut stages) == Blocked::Yes && ordered {
            return Plan { stages, status };
        }
        if matches!(
            self.set.spec.update_strategy,
            StatefulSetStrategy::RollingUpdate { .. }
        ) {
            stages.push(self.replace(&replicas));
        }
        Plan { stages, status }
    }

    /// Sees to one replica.
    fn tend(&self, replica: &Replica<'_>, stage: &mut Vec<Action>) -> Blocked {
        let pod = match replica {
            Replica::Missing { ordinal } => {
                if !self.claims.block(*ordinal) {
                    stage.push(Action::Create {
                        ordinal: *ordinal,
                        updated: self.comes_updated(*ordinal),
                    });
                }
                return Blocked::Yes;
            }
            Replica::Pod(pod) => *pod,
        };
        // Whatever the exit code: a pod that a reboot ended may have succeeded too.
        if pod.status.phase.is_terminal() {
            if !pod.metadata.is_deleting() {
                stage.push(Action::Delete(pod.clone()));
            }
            return Blocked::Yes;
        }
        if pod.status.phase == Phase::Pending && !self.set.spec.volume_claim_templates.is_empty() {
            stage.push(Action::MakeClaims(pod.clone()));
        }
        let ordered = !self.set.spec.is_parallel();
        if ordered && (pod.metadata.is_deleting() || !is_ready(pod) || !self.is_available(pod)) {
            return Blocked::Yes;
        }
        if !(identity_matches(self.set, pod)
            && storage_matches(self.set, pod)
            && self.claims.match_policy(pod))
        {
            stage.push(Action::Mend(pod.clone()));
        }
        Blocked::No
    }

    /// Takes down what is outside of the range, the highest ordinal first.
    fn condemn(
        &self,
        replicas: &[Replica<'_>],
        condemned: &[&Arc<Pod>],
        ordered: bool,
        stages: &mut Vec<Vec<Action>>,
    ) -> Blocked {
        let sick = |pod: &&Arc<Pod>| self.is_unavailable(pod);
        let first_sick = replicas
            .iter()
            .map(|replica| match replica {
                Replica::Pod(pod) if !self.is_unavailable(pod) => None,
                Replica::Pod(pod) => Some(Some(*pod)),
                Replica::Missing { .. } => Some(None),
            })
            .find_map(|sick| sick)
            .unwrap_or_else(|| condemned.iter().rev().copied().find(sick));
        let mut stage = Vec::new();
        for pod in condemned {
            let is_first_sick = first_sick.is_some_and(|sick| Arc::ptr_eq(sick, pod));
            let waits = pod.metadata.is_deleting()
                || (ordered && (!is_ready(pod) || !self.is_available(pod)) && !is_first_sick);
            if !waits {
                stage.push(Action::Delete((*pod).clone()));
            }
            if ordered {
                stages.push(stage);
                return Blocked::Yes;
            }
        }
        stages.push(stage);
        Blocked::No
    }

    /// Takes down pods of old revisions, as many as may be unavailable, the highest ordinal first.
    fn replace(&self, replicas: &[Replica<'_>]) -> Vec<Action> {
        let (partition, most) = match &self.set.spec.update_strategy {
            StatefulSetStrategy::RollingUpdate {
                rolling_update: Some(rolling),
            } => (
                usize::try_from(rolling.partition.unwrap_or(0)).unwrap_or(0),
                max_unavailable(rolling.max_unavailable.as_ref(), self.set.spec.replicas),
            ),
            _ => (0, 1),
        };
        let is_old = |pod: &Pod| revision(pod) != self.update.as_str() && !pod.metadata.is_deleting();
        let sick = replicas
            .iter()
            .filter(|replica| match replica {
                Replica::Pod(pod) => self.is_unavailable(pod),
                Replica::Missing { .. } => true,
            })
            .count();
        let targets: Vec<&Arc<Pod>> = replicas
            .iter()
            .skip(partition)
            .rev()
            .filter_map(|replica| match replica {
                Replica::Pod(pod) if is_old(pod) => Some(*pod),
                _ => None,
            })
            .collect();
        let budget = most.saturating_sub(sick);
        let replace = |pod: &&Arc<Pod>| Action::Replace((*pod).clone());
        if self.set.spec.is_parallel() {
            // Those that serve nobody cost nothing.
            let (lost, good): (Vec<_>, Vec<_>) = targets.into_iter().partition(|pod| !self.is_available(pod));
            let good = good.iter().take(budget);
            lost.iter().chain(good).map(replace).collect()
        } else {
            targets.iter().take(budget).map(replace).collect()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    Yes,
    No,
}

/// How many of a set's pods may be unavailable in an update: at least one.
fn max_unavailable(most: Option<&IntOrString>, replicas: i32) -> usize {
    let most = most
        .and_then(|most| most.scaled(replicas, false).ok())
        .unwrap_or(1);
    usize::try_from(most.max(1)).unwrap_or(1)
}

/// Ends an update that has reached every pod.
pub fn complete(set: &StatefulSet, status: &mut StatefulSetStatus) {
    let all = set.spec.replicas;
    if [status.updated_replicas, status.ready_replicas, status.replicas] == [all; 3] {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
}

/// Whether a status is worth writing.
pub fn is_news(set: &StatefulSet, status: &StatefulSetStatus) -> bool {
    let mut held = set.status.clone();
    held.collision_count = status.collision_count;
    if status.observed_generation < held.observed_generation {
        held.observed_generation = status.observed_generation;
    }
    held != *status
}

/// When the next pod that is ready becomes available, if any is on its way there.
pub fn next_available(set: &StatefulSet, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let span = SignedDuration::from_secs(set.spec.min_ready_seconds.into());
    pods.iter()
        .filter(|_| set.spec.min_ready_seconds > 0)
        .filter_map(|pod| pod.ready_since())
        .map(|since| (since.0 + span).duration_since(now))
        .filter(|left| left.is_positive())
        .min()
        .map(|left| left.unsigned_abs())
}
