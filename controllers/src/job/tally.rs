//! What a Job's pods amount to.

use super::failures::{Failures, finished_at};
use super::indexes::Indexes;
use super::policy::rule;
use super::{FAILURES, IGNORED_FAILURES, INDEX, TRACKING};
use crate::api::{FailureAction, Job, Phase, Pod, PodReplacement};
use jiff::Timestamp;
use machinery::meta::Istr;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// What is known of a Job when it is its turn.
pub struct Observed<'a> {
    pub job: &'a Job,
    /// Its pods, just adopted ones among them.
    pub pods: &'a [Arc<Pod>],
    /// Pods (by uid) whose finalizer was taken off, which the cache does not show yet.
    pub freed: &'a FxHashSet<Istr>,
    /// Whether the cache shows all pods that were created and deleted.
    pub settled: bool,
    /// Failures up to the last sync.
    pub failures: Failures,
    pub now: Timestamp,
}

/// The pod's completion index, if it has a valid one.
pub fn completion_index(pod: &Pod) -> Option<usize> {
    pod.metadata
        .annotations
        .get(INDEX)?
        .parse()
        .ok()
        .filter(|index| *index <= i32::MAX as usize)
}

fn annotated(pod: &Pod, key: &str) -> i32 {
    let count = pod
        .metadata
        .annotations
        .get(key)
        .and_then(|text| text.parse().ok());
    count.filter(|count| *count >= 0).unwrap_or(0)
}

/// Failures of the index before this pod: counted, and ignored.
pub fn earlier_failures(pod: &Pod) -> (i32, i32) {
    (annotated(pod, FAILURES), annotated(pod, IGNORED_FAILURES))
}

/// All failures of the index before this pod.
pub fn all_earlier_failures(pod: &Pod) -> i32 {
    let (counted, ignored) = earlier_failures(pod);
    counted.saturating_add(ignored)
}

impl Observed<'_> {
    /// Whether replacements wait until a pod has really ended.
    pub fn replaces_ended_only(&self) -> bool {
        self.job.spec.pod_replacement_policy == PodReplacement::Failed
    }

    /// Whether the pod's end is still to be counted: it has the finalizer, or has just been adopted and got it with that.
    pub fn is_held(&self, pod: &Pod) -> bool {
        let adopted = !pod.metadata.is_controlled_by(&self.job.metadata.uid);
        (adopted || pod.metadata.has_finalizer(TRACKING)) && !self.freed.contains(&pod.metadata.uid)
    }

    /// Whether the pod failed. A pod that is being deleted may never get to say so.
    pub fn is_failed(&self, pod: &Pod) -> bool {
        pod.status.phase == Phase::Failed
            || (!self.replaces_ended_only()
                && pod.metadata.is_deleting()
                && pod.status.phase != Phase::Succeeded)
    }

    /// The pod's index, if the Job has such an index.
    pub fn index(&self, pod: &Pod) -> Option<usize> {
        let indexes = self.job.spec.indexes()?;
        completion_index(pod).filter(|index| *index < indexes)
    }

    /// Whether the pod counts at all: one of an indexed Job must have one of its indexes.
    pub fn is_valid(&self, pod: &Pod) -> bool {
        self.job.spec.indexes().is_none() || self.index(pod).is_some()
    }

    fn fails_index(&self, pod: &Pod) -> bool {
        let Some(limit) = self.job.spec.backoff_limit_per_index else {
            return false;
        };
        if !self.is_failed(pod) {
            return false;
        }
        let ruling = rule(self.job.spec.pod_failure_policy.as_ref(), pod);
        ruling.action == Some(FailureAction::FailIndex)
            || (ruling.counts() && earlier_failures(pod).0 >= limit)
    }
}

/// The counts of a Job.
#[derive(Debug, Default)]
pub struct Tally {
    pub active: Vec<Arc<Pod>>,
    pub ready: i32,
    pub terminating: i32,
    /// All so far, those among the pods included.
    pub succeeded: i32,
    pub failed: i32,
    /// Indexes that the status says have succeeded, and all that have.
    pub told: Indexes,
    pub done: Indexes,
    /// Where failures are limited by index.
    pub failed_indexes: Option<Indexes>,
    /// Failed pods that stay until their replacement carries on their count of failures.
    pub kept: FxHashMap<usize, Arc<Pod>>,
    pub failures: Failures,
}

/// `usize` as the API counts.
pub fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub fn tally(observed: &Observed<'_>) -> Tally {
    let (job, pods) = (observed.job, observed.pods);
    let uncounted = job.status.uncounted_terminated_pods.clone().unwrap_or_default();
    let new = |named: &[Istr], test: &dyn Fn(&Pod) -> bool| -> Vec<Arc<Pod>> {
        let named: FxHashSet<&Istr> = named.iter().collect();
        pods.iter()
            .filter(|pod| {
                observed.is_held(pod)
                    && !named.contains(&pod.metadata.uid)
                    && observed.is_valid(pod)
                    && test(pod)
            })
            .cloned()
            .collect()
    };
    let succeeded = new(&uncounted.succeeded, &|pod| pod.status.phase == Phase::Succeeded);
    let failed = new(&uncounted.failed, &|pod| observed.is_failed(pod));
    let policy = job.spec.pod_failure_policy.as_ref();
    let counted = failed.iter().filter(|pod| rule(policy, pod).counts()).count();
    let active: Vec<_> = pods.iter().filter(|pod| pod.is_active()).cloned().collect();
    let mut tally = Tally {
        ready: count(active.iter().filter(|pod| pod.is_ready()).count()),
        terminating: count(pods.iter().filter(|pod| pod.is_terminating()).count()),
        succeeded: job.status.succeeded + count(succeeded.len() + uncounted.succeeded.len()),
        failed: job.status.failed + count(counted + uncounted.failed.len()),
        failures: observed.failures.with(&succeeded, &failed),
        active,
        ..Tally::default()
    };
    if let Some(indexes) = job.spec.indexes() {
        by_index(&mut tally, observed, indexes);
    }
    tally
}

fn by_index(tally: &mut Tally, observed: &Observed<'_>, indexes: usize) {
    let (job, pods) = (observed.job, observed.pods);
    let tracked =
        |pod: &Pod| pod.metadata.has_finalizer(TRACKING) || !pod.metadata.is_controlled_by(&job.metadata.uid);
    tally.told = Indexes::parse(&job.status.completed_indexes, indexes);
    let new = pods
        .iter()
        .filter(|pod| pod.status.phase == Phase::Succeeded && tracked(pod));
    tally.done = tally.told.with(new.filter_map(|pod| observed.index(pod)));
    tally.succeeded = count(tally.done.len());
    if job.spec.backoff_limit_per_index.is_none() {
        return;
    }
    let told = Indexes::parse(job.status.failed_indexes.as_deref().unwrap_or_default(), indexes);
    let new = pods
        .iter()
        .filter(|pod| tracked(pod) && observed.fails_index(pod));
    let failed = told.with(new.filter_map(|pod| observed.index(pod)));
    let active: FxHashSet<usize> = tally
        .active
        .iter()
        .filter_map(|pod| completion_index(pod))
        .collect();
    for pod in pods
        .iter()
        .filter(|pod| observed.is_held(pod) && observed.is_failed(pod))
    {
        let Some(index) = observed.index(pod) else {
            continue;
        };
        if tally.done.contains(index) || failed.contains(index) || active.contains(&index) {
            continue;
        }
        let later = tally.kept.get(&index).is_none_or(|kept| {
            all_earlier_failures(kept) <= all_earlier_failures(pod) && finished_at(pod) >= finished_at(kept)
        });
        if later {
            tally.kept.insert(index, pod.clone());
        }
    }
    tally.failed_indexes = Some(failed);
}
