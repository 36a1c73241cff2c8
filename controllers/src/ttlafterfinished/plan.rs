//! How long a Job may stay.

use crate::api::Job;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long the Job may still stay, if it is finished and its time is limited.
pub fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let limit = job.spec.ttl_seconds_after_finished?;
    if job.metadata.is_deleting() {
        return None;
    }
    let last = job.holds("Complete").or_else(|| job.holds("Failed"))?;
    let finished = last.last_transition_time?.0;
    let left = (finished + SignedDuration::from_secs(limit.into())).duration_since(now);
    Some(left.try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;
    use serde_json::json;

    #[test]
    fn only_finished_jobs_with_a_limit_go() {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let finished = |kind: &str, status: &str, limit: Option<i32>| {
            let mut job = job("j", json!({ "ttlSecondsAfterFinished": limit }));
            job.status = serde_json::from_value(json!({ "conditions": [{ "type": kind, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z" }] }))
                .unwrap();
            job
        };
        for (kind, status, limit, left) in [
            ("Complete", "True", Some(100), Some(40)),
            ("Failed", "True", Some(60), Some(0)),
            ("Failed", "True", Some(0), Some(0)),
            ("Complete", "True", None, None),
            ("Complete", "False", Some(10), None),
            ("FailureTarget", "True", Some(10), None),
        ] {
            let job = finished(kind, status, limit);
            assert_eq!(
                time_left(&job, now),
                left.map(Duration::from_secs),
                "{kind} {status} {limit:?}"
            );
        }
        let mut going = finished("Complete", "True", Some(0));
        going.metadata.deletion_timestamp = Some(machinery::meta::Time(now));
        assert_eq!(time_left(&going, now), None);
    }
}
