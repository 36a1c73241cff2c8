//! Which pods to create or remove.

use super::failures::Failures;
use super::policy::rule;
use super::removal::to_remove;
use super::tally::{Observed, Tally, all_earlier_failures, completion_index, count, earlier_failures, tally};
use super::verdict::{Verdict, judge, time_left};
use crate::api::Pod;
use crate::job::failures::finished_at;
use std::sync::Arc;
use std::time::Duration;

/// The most pods that one sync creates or removes; the next goes on where it ended.
const BURST: usize = 500;

/// A pod to create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    pub index: Option<usize>,
    /// Failures of earlier pods of the index, counted and ignored, where they are limited by index.
    pub failures: Option<(i32, i32)>,
}

/// What is done about pods.
#[derive(Debug)]
pub enum Work {
    /// Nothing: not everything is known, or the Job is being deleted.
    Wait,
    /// Nothing is needed.
    Nothing,
    /// The Job is over: these active pods are deleted, and counted like any that end.
    End(Vec<Arc<Pod>>),
    /// These are too many: they are deleted and do not count.
    Remove(Vec<Arc<Pod>>),
    Create(Vec<Replica>),
}

/// What one sync does.
#[derive(Debug)]
pub struct Plan {
    pub tally: Tally,
    pub verdict: Option<Verdict>,
    pub work: Work,
    /// When to look again though nothing has happened.
    pub wake: Option<Duration>,
}

pub fn plan(observed: &Observed<'_>) -> Plan {
    let tally = tally(observed);
    let verdict = judge(observed, &tally);
    let (work, pause) = if verdict.is_some() {
        (Work::End(tally.active.clone()), None)
    } else if observed.settled && !observed.job.metadata.is_deleting() {
        manage(observed, &tally)
    } else {
        (Work::Wait, None)
    };
    let deadline = time_left(observed.job, observed.now).filter(|_| verdict.is_none());
    Plan {
        tally,
        verdict,
        work,
        wake: pause.into_iter().chain(deadline).min(),
    }
}

/// How many pods are to be active.
fn wanted(observed: &Observed<'_>, tally: &Tally) -> i32 {
    let spec = &observed.job.spec;
    match spec.completions {
        // The first success is enough; what runs may go on.
        None if tally.succeeded > 0 => count(tally.active.len()),
        None => spec.parallelism,
        Some(completions) => spec.parallelism.min(completions - tally.succeeded).max(0),
    }
}

fn manage(observed: &Observed<'_>, tally: &Tally) -> (Work, Option<Duration>) {
    let (job, active) = (observed.job, count(tally.active.len()));
    if job.spec.is_suspended() {
        return (
            Work::Remove(to_remove(job, &tally.active, tally.active.len())),
            None,
        );
    }
    let wanted = wanted(observed, tally);
    let excess = usize::try_from(active - wanted).unwrap_or(0);
    let mut gone = to_remove(job, &tally.active, excess);
    if !gone.is_empty() {
        gone.truncate(BURST);
        return (Work::Remove(gone), None);
    }
    let leaving = if observed.replaces_ended_only() {
        tally.terminating
    } else {
        0
    };
    let missing = usize::try_from(wanted - leaving - active).unwrap_or(0).min(BURST);
    if missing == 0 {
        return (Work::Nothing, None);
    }
    if tally.failed_indexes.is_none() && job.spec.backoff_limit_per_index.is_none() {
        let wait = tally.failures.wait(observed.now);
        if !wait.is_zero() {
            return (Work::Nothing, Some(wait));
        }
    }
    match job.spec.indexes() {
        None => (Work::Create(vec![Replica::default(); missing]), None),
        Some(indexes) => by_index(observed, tally, indexes, missing),
    }
}

fn by_index(
    observed: &Observed<'_>,
    tally: &Tally,
    indexes: usize,
    missing: usize,
) -> (Work, Option<Duration>) {
    let busy = |pods: &mut dyn Iterator<Item = &Arc<Pod>>| -> Vec<usize> {
        pods.filter_map(|pod| completion_index(pod)).collect()
    };
    let mut taken = tally.done.with(busy(&mut tally.active.iter()));
    if observed.replaces_ended_only() {
        taken = taken.with(busy(&mut observed.pods.iter().filter(|pod| pod.is_terminating())));
    }
    if let Some(failed) = &tally.failed_indexes {
        taken = taken.union(failed);
    }
    let limited = observed.job.spec.backoff_limit_per_index.is_some();
    let (mut replicas, mut soonest) = (Vec::new(), None);
    for index in taken.missing(indexes).take(missing) {
        let kept = tally.kept.get(&index);
        let wait = kept.map_or(Duration::ZERO, |pod| wait_after(pod, observed));
        if limited && !wait.is_zero() {
            soonest = soonest.into_iter().chain([wait]).min();
            continue;
        }
        replicas.push(Replica {
            index: Some(index),
            failures: limited.then(|| kept.map_or((0, 0), |pod| failures_after(pod, observed))),
        });
    }
    let work = if replicas.is_empty() {
        Work::Nothing
    } else {
        Work::Create(replicas)
    };
    (work, soonest)
}

/// How long an index whose last pod is `pod` has to wait.
fn wait_after(pod: &Pod, observed: &Observed<'_>) -> Duration {
    let failures = Failures {
        count: all_earlier_failures(pod).saturating_add(1),
        last: Some(finished_at(pod)),
    };
    failures.wait(observed.now)
}

fn failures_after(pod: &Pod, observed: &Observed<'_>) -> (i32, i32) {
    let (counted, ignored) = earlier_failures(pod);
    if rule(observed.job.spec.pod_failure_policy.as_ref(), pod).counts() {
        (counted.saturating_add(1), ignored)
    } else {
        (counted, ignored.saturating_add(1))
    }
}
