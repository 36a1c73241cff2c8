//! What becomes of a CronJob at a given moment.

use super::SCHEDULED;
use super::schedule::{Schedule, zone};
use super::times::{due, wait};
use crate::api::{ConcurrencyPolicy, CronJob, CronJobStatus, Job, Object};
use jiff::{SignedDuration, Timestamp};
use machinery::meta::resources::{CRON_JOBS, JOBS};
use machinery::meta::{Annotations, Istr, Labels, OwnerRef};
use rustc_hash::FxHashSet;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// An event to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Note {
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            message: message.into(),
        }
    }

    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }
}

fn ending(job: &Job) -> Option<&'static str> {
    ["Complete", "Failed"]
        .into_iter()
        .find(|kind| job.holds(kind).is_some())
}

/// Finished Jobs that are one too many for the history, the oldest first.
pub fn surplus(cron: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let limits = [
        ("Complete", cron.spec.successful_jobs_history_limit),
        ("Failed", cron.spec.failed_jobs_history_limit),
    ];
    let mut gone = Vec::new();
    for (kind, limit) in limits {
        let Some(limit) = limit else { continue };
        let mut ended: Vec<_> = jobs
            .iter()
            .filter(|job| ending(job) == Some(kind))
            .cloned()
            .collect();
        ended.sort_by_key(|job| {
            let start = job.status.start_time.map(|time| time.0);
            (start.is_none(), start, job.metadata.name.clone())
        });
        let excess = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        gone.extend(ended.into_iter().take(excess));
    }
    gone
}

/// Brings the list of active Jobs and the time of the last success up to date. `gone` are listed Jobs (by uid) that do not exist.
pub fn settle(
    cron: &CronJob,
    status: &mut CronJobStatus,
    jobs: &[Arc<Job>],
    gone: &FxHashSet<Istr>,
) -> Vec<Note> {
    let mut notes = Vec::new();
    for job in jobs {
        let Some(kind) = ending(job) else {
            if !cron.status.lists(&job.metadata.uid) {
                let message = format!(
                    "Saw a job that the controller did not create or forgot: {}",
                    job.metadata.name
                );
                notes.push(Note::warning("UnexpectedJob", message));
            }
            continue;
        };
        if status.strike(&job.metadata.uid) {
            let message = format!("Saw completed job: {}, condition: {kind}", job.metadata.name);
            notes.push(Note::normal("SawCompletedJob", message));
        }
        if kind == "Complete" {
            status.last_successful_time = status.last_successful_time.max(job.status.completion_time);
        }
    }
    status.active.retain(|job| {
        let missing = gone.contains(&job.uid);
        if missing {
            notes.push(Note::normal(
                "MissingJob",
                format!("Active job went missing: {}", job.name),
            ));
        }
        !missing
    });
    notes
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until the CronJob is changed.
    Rest,
    /// Nothing until then.
    Wait(Option<Duration>),
    /// A Job for this time; where Jobs replace each other, those that are listed go first.
    Start(Timestamp),
}

/// The schedule as it is written, in the zone that the CronJob names.
fn schedule(cron: &CronJob) -> Result<Schedule, Note> {
    let zone = zone(cron.spec.time_zone.as_deref()).map_err(|error| {
        let name = cron.spec.time_zone.as_deref().unwrap_or_default();
        Note::warning("UnknownTimeZone", format!("invalid timeZone: {name:?}: {error}"))
    })?;
    Schedule::parse(&cron.spec.schedule, zone).map_err(|error| {
        let text = &cron.spec.schedule;
        Note::warning(
            "UnparseableSchedule",
            format!("unparseable schedule: {text:?} : {error}"),
        )
    })
}

/// How long until the next time, where the schedule can be read.
pub fn next(cron: &CronJob, now: Timestamp) -> Option<Duration> {
    wait(cron, &schedule(cron).ok()?, now)
}

pub fn step(cron: &CronJob, status: &CronJobStatus, now: Timestamp) -> (Step, Vec<Note>) {
    let mut notes = Vec::new();
    if cron.metadata.is_deleting() || cron.spec.suspend == Some(true) {
        return (Step::Rest, notes);
    }
    if cron.spec.schedule.contains("TZ") {
        let message = format!(
            "CRON_TZ or TZ used in schedule {:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            cron.spec.schedule
        );
        notes.push(Note::warning("UnsupportedSchedule", message));
    }
    let schedule = match schedule(cron) {
        Ok(schedule) => schedule,
        Err(note) => {
            notes.push(note);
            return (Step::Rest, notes);
        }
    };
    let later = || Step::Wait(wait(cron, &schedule, now));
    let due = match due(cron, &schedule, now) {
        Ok(Some(due)) => due,
        Ok(None) => return (later(), notes),
        Err(error) => {
            let message = format!("invalid schedule: {} : {error}", cron.spec.schedule);
            notes.push(Note::warning("InvalidSchedule", message));
            return (Step::Rest, notes);
        }
    };
    if due.many_missed {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        notes.push(Note::warning("TooManyMissedTimes", message));
    }
    let deadline = cron.spec.starting_deadline_seconds;
    if deadline.is_some_and(|seconds| due.time + SignedDuration::from_secs(seconds) < now) {
        let time = due.time.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let message = format!("Missed scheduled time to start a job: {time}");
        notes.push(Note::warning("MissSchedule", message));
        return (later(), notes);
    }
    let name = job_name(cron, due.time);
    if status.active.iter().any(|job| job.name == name)
        || status.last_schedule_time.is_some_and(|last| last.0 == due.time)
    {
        return (later(), notes);
    }
    if cron.spec.concurrency_policy == ConcurrencyPolicy::Forbid && !status.active.is_empty() {
        let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
        notes.push(Note::normal("JobAlreadyActive", message));
        return (later(), notes);
    }
    (Step::Start(due.time), notes)
}

/// The name of the Job for this time: the same whoever starts it, so that it is started once.
pub fn job_name(cron: &CronJob, time: Timestamp) -> String {
    format!("{}-{}", cron.metadata.name, time.as_second() / 60)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobMetadata {
    name: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    annotations: Annotations,
    owner_references: [OwnerRef; 1],
}

#[derive(Serialize)]
pub struct JobBody<'a> {
    spec: Option<&'a RawValue>,
}

/// The Job for this time.
pub fn job(cron: &CronJob, time: Timestamp) -> Object<JobMetadata, JobBody<'_>> {
    let template = &cron.spec.job_template;
    let mut annotations = template.metadata.annotations.clone();
    let zone = zone(Some(cron.spec.time_zone.as_deref().unwrap_or_default()));
    let local = zone
        .ok()
        .map(|zone| time.to_zoned(zone))
        .filter(|local| local.offset().seconds() != 0)
        .map(|local| local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
    let text = local.unwrap_or_else(|| machinery::arith::time::seconds(time));
    annotations.insert(SCHEDULED, text.as_str());
    let metadata = JobMetadata {
        name: job_name(cron, time),
        labels: template.metadata.labels.clone(),
        annotations,
        owner_references: [OwnerRef::controller(&CRON_JOBS, &cron.metadata)],
    };
    Object::new(
        &JOBS,
        metadata,
        JobBody {
            spec: template.spec(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{job as builder, overlay};
    use serde_json::{Value, json};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(spec: Value, status: Value) -> CronJob {
        let mut object = json!({ "metadata": { "name": "c", "namespace": "default", "uid": "uid-c", "creationTimestamp": "2026-01-01T09:30:00Z" },
            "spec": { "schedule": "0 * * * *", "jobTemplate": { "metadata": { "labels": { "a": "b" } }, "spec": { "parallelism": 2 } } } });
        overlay(&mut object["spec"], spec);
        object["status"] = status;
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn ended(name: &str, kind: &str, start: i64, end: &str) -> Arc<Job> {
        let mut job = builder(name, json!({}));
        let start = Timestamp::from_second(start).unwrap().to_string();
        job.status = serde_json::from_value(json!({ "startTime": start, "completionTime": end,
            "conditions": [{ "type": kind, "status": "True" }] }))
        .unwrap();
        Arc::new(job)
    }

    fn listed(names: &[&str]) -> Value {
        names
            .iter()
            .map(|name| json!({ "name": name, "namespace": "default", "uid": format!("uid-{name}") }))
            .collect()
    }

    #[test]
    fn a_job_is_started_when_it_is_due() {
        let late = "2026-01-01T10:00:01Z";
        let reasons = |cron: &CronJob, now: &str| {
            let (step, notes) = step(cron, &cron.status, time(now));
            (step, notes.iter().map(|note| note.reason).collect::<Vec<_>>())
        };
        let start = Step::Start(time("2026-01-01T10:00:00Z"));
        assert_eq!(reasons(&cron(json!({}), json!({})), late), (start, vec![]));
        let wait = |cron: &CronJob, now: &str, why: &[&str]| {
            let (step, reasons) = reasons(cron, now);
            assert!(matches!(step, Step::Wait(Some(_))), "{step:?}");
            assert_eq!(reasons, why);
        };
        wait(&cron(json!({}), json!({})), "2026-01-01T09:45:00Z", &[]);
        wait(
            &cron(json!({}), json!({ "lastScheduleTime": "2026-01-01T10:00:00Z" })),
            late,
            &[],
        );
        wait(
            &cron(json!({}), json!({ "active": listed(&["c-29454360"]) })),
            "2026-01-01T10:00:01Z",
            &[],
        );
        wait(
            &cron(
                json!({ "concurrencyPolicy": "Forbid" }),
                json!({ "active": listed(&["x"]) }),
            ),
            late,
            &["JobAlreadyActive"],
        );
        for policy in ["Allow", "Replace"] {
            let cron = cron(
                json!({ "concurrencyPolicy": policy }),
                json!({ "active": listed(&["x"]) }),
            );
            assert!(matches!(reasons(&cron, late).0, Step::Start(_)));
        }
        for (spec, why) in [
            (json!({ "suspend": true }), vec![]),
            (json!({ "schedule": "x" }), vec!["UnparseableSchedule"]),
            (json!({ "timeZone": "Mars/Olympus" }), vec!["UnknownTimeZone"]),
            (json!({ "schedule": "59 23 31 2 *" }), vec!["InvalidSchedule"]),
        ] {
            assert_eq!(reasons(&cron(spec, json!({})), late), (Step::Rest, why));
        }
        let (step, why) = reasons(
            &cron(json!({ "schedule": "TZ=Asia/Tokyo 0 19 * * *" }), json!({})),
            late,
        );
        assert!(matches!(step, Step::Start(_)) && why == ["UnsupportedSchedule"]);
    }

    #[test]
    fn the_list_of_active_jobs_follows_the_jobs() {
        let cron = cron(
            json!({}),
            json!({ "active": listed(&["done", "runs", "lost"]), "lastSuccessfulTime": "2026-01-01T00:00:00Z" }),
        );
        let jobs = [
            ended("done", "Complete", 1, "2026-01-01T01:00:00Z"),
            ended("older", "Complete", 1, "2025-12-31T01:00:00Z"),
            Arc::new(builder("runs", json!({}))),
            Arc::new(builder("stray", json!({}))),
        ];
        let mut status = cron.status.clone();
        let gone = FxHashSet::from_iter(["uid-lost".into()]);
        let notes = settle(&cron, &mut status, &jobs, &gone);
        let messages: Vec<_> = notes.iter().map(|note| &*note.message).collect();
        assert_eq!(
            messages,
            [
                "Saw completed job: done, condition: Complete",
                "Saw a job that the controller did not create or forgot: stray",
                "Active job went missing: lost"
            ]
        );
        assert_eq!(status.active.len(), 1);
        assert_eq!(
            status.last_successful_time.unwrap().0,
            time("2026-01-01T01:00:00Z")
        );
    }

    #[test]
    fn the_history_is_limited() {
        let cron = cron(
            json!({ "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0 }),
            json!({}),
        );
        let end = "2026-01-01T01:00:00Z";
        let jobs = [
            ended("c", "Complete", 30, end),
            ended("a", "Complete", 10, end),
            ended("b", "Complete", 20, end),
            ended("f", "Failed", 5, end),
            Arc::new(builder("runs", json!({}))),
        ];
        let names: Vec<_> = surplus(&cron, &jobs)
            .iter()
            .map(|job| job.metadata.name.to_string())
            .collect();
        assert_eq!(names, ["a", "b", "f"]);
    }

    #[test]
    fn a_job_is_made_of_the_template_and_named_after_its_time() {
        let body = |spec: Value| {
            serde_json::to_value(job(&cron(spec, json!({})), time("2026-01-01T10:00:00Z"))).unwrap()
        };
        assert_eq!(
            body(json!({})),
            json!({ "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": "c-29454360", "labels": { "a": "b" }, "annotations": { SCHEDULED: "2026-01-01T10:00:00Z" },
                "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "uid-c", "controller": true, "blockOwnerDeletion": true }] },
            "spec": { "parallelism": 2 } })
        );
        assert_eq!(
            body(json!({ "timeZone": "Asia/Kathmandu" }))["metadata"]["annotations"][SCHEDULED],
            "2026-01-01T15:45:00+05:45"
        );
    }
}
