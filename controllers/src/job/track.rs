//! Which ends of pods are counted now, and what the status becomes.

use super::plan::{Plan, Work};
use super::policy::rule;
use super::tally::{Observed, completion_index, count};
use super::verdict::{End, Verdict};
use crate::api::{ConditionStatus, JobCondition, JobStatus, Phase, Pod};
use jiff::Timestamp;
use machinery::meta::{Istr, Time};
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// The most uids that the status lists (20 kB), and so the most pods that are freed at once.
const MOST: usize = 500;

/// What became of the plan's work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Enacted {
    pub removed: i32,
    pub removed_ready: i32,
    pub created: i32,
}

/// The last condition that a Job gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub succeeded: bool,
    pub reason: Istr,
    pub message: Box<str>,
}

/// The status on its way.
#[derive(Debug)]
pub struct Tracking {
    pub status: JobStatus,
    /// Whether the status is to be written before pods are freed.
    pub flush: bool,
    /// Pods to take the finalizer off.
    pub free: Vec<Arc<Pod>>,
    /// All pods (by uid) that have the finalizer.
    held: FxHashSet<Istr>,
    /// More pods have ended than can be counted at once.
    more: bool,
    pub ending: Option<Ending>,
    /// The Job was suspended, or resumed.
    pub suspended: Option<bool>,
}

fn condition(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> JobCondition {
    JobCondition {
        kind: kind.into(),
        status,
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        reason: reason.into(),
        message: message.into(),
    }
}

/// Sets a condition; whether that changed anything. One that was never true is not set to false.
fn set(conditions: &mut Vec<JobCondition>, new: JobCondition) -> bool {
    match conditions.iter_mut().find(|held| held.kind == new.kind) {
        Some(held)
            if held.status == new.status && held.reason == new.reason && held.message == new.message =>
        {
            false
        }
        Some(held) => {
            *held = new;
            true
        }
        None if new.status == ConditionStatus::False => false,
        None => {
            conditions.push(new);
            true
        }
    }
}

pub fn track(observed: &Observed<'_>, plan: &Plan, enacted: Enacted) -> Tracking {
    let (job, tally, now) = (observed.job, &plan.tally, observed.now);
    let mut status = job.status.clone();
    let mut suspended = None;
    if status.start_time.is_none() && !job.spec.is_suspended() {
        status.start_time = Some(Time(now));
    }
    let before = count(tally.active.len());
    let active = before - enacted.removed + enacted.created;
    let verdict = match &plan.verdict {
        // Until all pods are known to be on their way out there may be more to count.
        Some(_) if enacted.removed != before || !observed.settled => None,
        Some(verdict) => Some(verdict.clone()),
        None => {
            let complete = match job.spec.completions {
                None => tally.succeeded > 0,
                Some(completions) => tally.succeeded >= completions,
            } && active == 0;
            if !complete && !matches!(plan.work, Work::Wait) {
                suspended = suspend(&mut status, job.spec.is_suspended(), now);
            }
            let message = "Reached expected number of succeeded pods";
            complete.then(|| Verdict::new(End::Success, "CompletionsReached", message))
        }
    };
    let (ready, terminating) = (
        tally.ready - enacted.removed_ready,
        tally.terminating + enacted.removed,
    );
    let flush = suspended.is_some()
        || status.active != active
        || status.ready != Some(ready)
        || status.terminating != Some(terminating);
    (status.active, status.ready, status.terminating) = (active, Some(ready), Some(terminating));
    status.uncounted_terminated_pods.get_or_insert_default();
    let held = observed
        .pods
        .iter()
        .filter(|pod| observed.is_held(pod))
        .map(|pod| pod.metadata.uid.clone());
    let mut tracking = Tracking {
        status,
        flush,
        free: Vec::new(),
        held: held.collect(),
        more: false,
        ending: None,
        suspended,
    };
    tracking.flush |= tracking.count_freed();
    tracking.count_ended(observed, plan, verdict.as_ref());
    if let Some(verdict) = verdict {
        tracking.announce(verdict, now);
    }
    tracking
}

fn suspend(status: &mut JobStatus, suspended: bool, now: Timestamp) -> Option<bool> {
    let new = if suspended {
        condition(
            "Suspended",
            ConditionStatus::True,
            "JobSuspended",
            "Job suspended",
            now,
        )
    } else {
        condition(
            "Suspended",
            ConditionStatus::False,
            "JobResumed",
            "Job resumed",
            now,
        )
    };
    set(&mut status.conditions, new).then(|| {
        // The time limit is for an uninterrupted run.
        status.start_time = (!suspended).then_some(Time(now));
        suspended
    })
}

impl Tracking {
    /// The finalizer was taken off these pods.
    pub fn freed<'p>(&mut self, pods: impl IntoIterator<Item = &'p Arc<Pod>>) {
        for pod in pods {
            self.held.remove(&pod.metadata.uid);
        }
        self.flush |= self.count_freed();
    }

    /// Moves uids whose pods have lost their finalizer into the counters; whether there were any.
    fn count_freed(&mut self) -> bool {
        let Some(uncounted) = &mut self.status.uncounted_terminated_pods else {
            return false;
        };
        let held = &self.held;
        let move_over = |uids: &mut Vec<Istr>, counter: &mut i32| {
            let before = uids.len();
            uids.retain(|uid| held.contains(uid));
            let gone = before - uids.len();
            *counter = counter.saturating_add(count(gone));
            gone > 0
        };
        let succeeded = move_over(&mut uncounted.succeeded, &mut self.status.succeeded);
        move_over(&mut uncounted.failed, &mut self.status.failed) || succeeded
    }

    /// Lists pods that have ended as uncounted, and frees them.
    fn count_ended(&mut self, observed: &Observed<'_>, plan: &Plan, verdict: Option<&Verdict>) {
        let (job, tally) = (observed.job, &plan.tally);
        let Some(uncounted) = &mut self.status.uncounted_terminated_pods else {
            return;
        };
        let indexed = job.spec.indexes().is_some();
        let listed: FxHashSet<Istr> = uncounted
            .succeeded
            .iter()
            .chain(&uncounted.failed)
            .cloned()
            .collect();
        let listed_failed: FxHashSet<Istr> = uncounted.failed.iter().cloned().collect();
        let failing = verdict.is_some_and(|verdict| verdict.end != End::Success);
        let mut pods: Vec<_> = observed.pods.iter().filter(|pod| observed.is_held(pod)).collect();
        if indexed {
            pods.sort_by_key(|pod| completion_index(pod));
        }
        let mut new_indexes = Vec::new();
        for pod in pods {
            let (uid, failed) = (&pod.metadata.uid, observed.is_failed(pod));
            let succeeded = pod.status.phase == Phase::Succeeded;
            let index = observed.index(pod);
            let over = job.metadata.is_deleting() || verdict.is_some() || succeeded;
            let kept = index
                .and_then(|index| tally.kept.get(&index))
                .is_some_and(|kept| kept.metadata.uid == *uid);
            if !over && (!failed || kept) {
                continue;
            }
            self.free.push(pod.clone());
            if succeeded && !listed_failed.contains(uid) {
                match index {
                    Some(index) if !tally.told.contains(index) => {
                        new_indexes.push(index);
                        self.flush = true;
                    }
                    None if !indexed && !listed.contains(uid) => {
                        uncounted.succeeded.push(uid.clone());
                        self.flush = true;
                    }
                    _ => {}
                }
            } else if (failed || failing)
                && !listed_failed.contains(uid)
                && observed.is_valid(pod)
                && rule(job.spec.pod_failure_policy.as_ref(), pod).counts()
            {
                uncounted.failed.push(uid.clone());
                self.flush = true;
            }
            if new_indexes.len() + uncounted.succeeded.len() + uncounted.failed.len() >= MOST {
                self.more = true;
                break;
            }
        }
        if indexed {
            self.tell_indexes(plan, new_indexes);
        }
    }

    fn tell_indexes(&mut self, plan: &Plan, new: Vec<usize>) {
        let tally = &plan.tally;
        // What has succeeded but is not freed yet is told already: it stays as it is.
        let done = tally.done.with(new);
        let text: Box<str> = done.to_string().into();
        let failed: Option<Box<str>> = tally
            .failed_indexes
            .as_ref()
            .map(|failed| failed.to_string().into());
        self.flush |= text != self.status.completed_indexes || failed != self.status.failed_indexes;
        self.status.succeeded = count(done.len());
        (self.status.completed_indexes, self.status.failed_indexes) = (text, failed);
    }

    /// Says that the Job is over before its last pods are freed.
    fn announce(&mut self, verdict: Verdict, now: Timestamp) {
        let kind = match verdict.end {
            End::Success if self.status.holds("SuccessCriteriaMet").is_none() => Some("SuccessCriteriaMet"),
            End::Failure => Some("FailureTarget"),
            _ => None,
        };
        if let Some(kind) = kind {
            self.status.conditions.push(condition(
                kind,
                ConditionStatus::True,
                &verdict.reason,
                &verdict.message,
                now,
            ));
            self.flush = true;
        }
        self.ending = Some(Ending {
            succeeded: verdict.end == End::Success,
            reason: verdict.reason,
            message: verdict.message,
        });
    }

    /// Gives the Job its last condition once every pod is counted; whether it did.
    pub fn finish(&mut self, now: Timestamp) -> bool {
        let Some(ending) = &self.ending else {
            return false;
        };
        let uncounted = self
            .status
            .uncounted_terminated_pods
            .as_ref()
            .is_some_and(|pods| !pods.succeeded.is_empty() || !pods.failed.is_empty());
        if self.more || uncounted || self.status.terminating.is_some_and(|count| count > 0) {
            return false;
        }
        let kind = if ending.succeeded { "Complete" } else { "Failed" };
        let last = condition(kind, ConditionStatus::True, &ending.reason, &ending.message, now);
        set(&mut self.status.conditions, last);
        if ending.succeeded {
            self.status.completion_time = Some(Time(now));
        }
        true
    }
}
