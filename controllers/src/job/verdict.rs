//! Whether a Job is over, and why.

use super::policy::{rule, satisfied};
use super::tally::{Observed, Tally};
use crate::api::{Job, Phase};
use jiff::{SignedDuration, Timestamp};
use machinery::meta::Istr;
use serde::Deserialize;
use std::time::Duration;

/// How a Job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its criteria of success are met.
    Success,
    /// It has failed; the status does not say so yet.
    Failure,
    /// It has failed, and the status says so.
    KnownFailure,
}

/// That a Job is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub end: End,
    pub reason: Istr,
    pub message: Box<str>,
}

impl Verdict {
    pub fn new(end: End, reason: &str, message: impl Into<Box<str>>) -> Self {
        Self {
            end,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// What the status says already; else failures, those that a policy names first; then success by policy. Success by numbers depends on
/// what becomes of the pods that still run, so it is judged later.
pub fn judge(observed: &Observed<'_>, tally: &Tally) -> Option<Verdict> {
    let job = observed.job;
    let known = |kind, end| {
        job.holds(kind).map(|held| Verdict {
            end,
            reason: held.reason.clone(),
            message: held.message.clone(),
        })
    };
    known("SuccessCriteriaMet", End::Success)
        .or_else(|| known("FailureTarget", End::KnownFailure))
        .or_else(|| by_policy(observed))
        .or_else(|| by_limits(observed, tally))
        .or_else(|| by_indexes(job, tally))
        .or_else(|| {
            let message = satisfied(job.spec.success_policy.as_ref(), job.spec.indexes()?, &tally.done)?;
            Some(Verdict::new(End::Success, "SuccessPolicy", message))
        })
}

fn by_policy(observed: &Observed<'_>) -> Option<Verdict> {
    let policy = Some(observed.job.spec.pod_failure_policy.as_ref()?);
    let why = observed
        .pods
        .iter()
        .filter(|pod| observed.is_failed(pod))
        .find_map(|pod| rule(policy, pod).fails_job)?;
    Some(Verdict::new(End::Failure, "PodFailurePolicy", why))
}

fn by_limits(observed: &Observed<'_>, tally: &Tally) -> Option<Verdict> {
    let failure = |reason, message: &str| Some(Verdict::new(End::Failure, reason, message));
    if tally.failed > observed.job.spec.backoff_limit || restarted_too_often(observed) {
        failure(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
    } else if time_left(observed.job, observed.now).is_some_and(|left| left.is_zero()) {
        failure(
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        )
    } else {
        None
    }
}

/// Where failed containers are started again in place, their restarts count as failures of pods.
fn restarted_too_often(observed: &Observed<'_>) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Template {
        spec: Spec,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        restart_policy: Istr,
    }
    let going = observed
        .pods
        .iter()
        .filter(|pod| matches!(pod.status.phase, Phase::Running | Phase::Pending));
    let restarts = going.fold(0i32, |sum, pod| {
        let (main, init) = (
            &pod.status.container_statuses,
            &pod.status.init_container_statuses,
        );
        sum.saturating_add(main.restarts).saturating_add(init.restarts)
    });
    restarts >= observed.job.spec.backoff_limit.max(1)
        && serde_json::from_str(observed.job.spec.template.raw().get())
            .is_ok_and(|template: Template| template.spec.restart_policy == "OnFailure")
}

/// How long the Job may still go on, if that is limited. One that is suspended is not on the clock.
pub fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let limit = job.spec.active_deadline_seconds?;
    if job.spec.is_suspended() {
        return None;
    }
    let started = job.status.start_time.map_or(now, |time| time.0);
    let left = (started + SignedDuration::from_secs(limit)).duration_since(now);
    Some(left.try_into().unwrap_or(Duration::ZERO))
}

fn by_indexes(job: &Job, tally: &Tally) -> Option<Verdict> {
    let failed = tally.failed_indexes.as_ref()?.len();
    let failure = |reason, message: &str| Some(Verdict::new(End::Failure, reason, message));
    let most = job
        .spec
        .max_failed_indexes
        .map(|most| usize::try_from(most).unwrap_or(0));
    if most.is_some_and(|most| failed > most) {
        failure(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )
    } else if failed > 0 && failed + tally.done.len() >= job.spec.indexes()? {
        failure("FailedIndexes", "Job has failed indexes")
    } else {
        None
    }
}
