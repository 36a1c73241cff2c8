//! A Job and its pods in, what is done about them and what the status says out.

use super::failures::Failures;
use super::plan::{Plan, Replica, Work, plan};
use super::tally::Observed;
use super::track::{Enacted, Tracking, track};
use super::{FAILURES, IGNORED_FAILURES, INDEX, TRACKING};
use crate::api::{ConditionStatus, Job, Pod};
use crate::testing::{PodBuilder, job, overlay, owned, pod};
use jiff::Timestamp;
use machinery::meta::Istr;
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const NOW: i64 = 100_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn at(second: i64) -> String {
    Timestamp::from_second(second).unwrap().to_string()
}

/// A Job in a world of its own.
struct World {
    job: Job,
    pods: Vec<Arc<Pod>>,
    freed: FxHashSet<Istr>,
    settled: bool,
    failures: Failures,
}

fn world(spec: Value, status: Value) -> World {
    let mut job = job("j", spec);
    let mut known =
        json!({ "startTime": at(NOW - 60), "ready": 0, "terminating": 0, "uncountedTerminatedPods": {} });
    overlay(&mut known, status);
    job.status = serde_json::from_value(known).unwrap();
    World {
        job,
        pods: Vec::new(),
        freed: FxHashSet::default(),
        settled: true,
        failures: Failures::default(),
    }
}

impl World {
    fn with(mut self, pods: impl IntoIterator<Item = PodBuilder>) -> Self {
        for pod in pods {
            self.pods
                .push(owned(pod.with("/metadata/finalizers", json!([TRACKING])), &self.job).arc());
        }
        self
    }

    fn observed(&self) -> Observed<'_> {
        Observed {
            job: &self.job,
            pods: &self.pods,
            freed: &self.freed,
            settled: self.settled,
            failures: self.failures,
            now: now(),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.observed())
    }

    /// The plan, done without a hitch, and the status before pods are freed.
    fn tracked(&self) -> (Plan, Tracking) {
        let plan = self.plan();
        let gone = |pods: &[Arc<Pod>]| Enacted {
            removed: i32::try_from(pods.len()).unwrap(),
            removed_ready: i32::try_from(pods.iter().filter(|pod| pod.is_ready()).count()).unwrap(),
            created: 0,
        };
        let enacted = match &plan.work {
            Work::Wait | Work::Nothing => Enacted::default(),
            Work::End(pods) | Work::Remove(pods) => gone(pods),
            Work::Create(replicas) => Enacted {
                created: i32::try_from(replicas.len()).unwrap(),
                ..Enacted::default()
            },
        };
        let tracking = track(&self.observed(), &plan, enacted);
        (plan, tracking)
    }

    /// Everything that one sync does; the Job has its new status afterwards, and freed pods have lost their finalizer.
    fn sync(&mut self) -> (Plan, Tracking, bool) {
        let (plan, mut tracking) = self.tracked();
        let free = std::mem::take(&mut tracking.free);
        let writes = tracking.flush;
        tracking.freed(&free);
        let finished = tracking.finish(now());
        self.job.status = tracking.status.clone();
        self.failures = plan.tally.failures;
        self.freed.extend(free.iter().map(|pod| pod.metadata.uid.clone()));
        tracking.free = free;
        (plan, tracking, writes || finished)
    }

    fn has(&self, kind: &str) -> bool {
        self.job.holds(kind).is_some()
    }
}

fn ended(name: &str, phase: &str) -> PodBuilder {
    let code = i32::from(phase == "Failed");
    pod(name).phase(phase).with(
        "/status/containerStatuses",
        json!([{ "name": "c", "state": { "terminated": { "exitCode": code, "finishedAt": at(NOW - 1) } } }]),
    )
}

fn indexed(pod: PodBuilder, index: &str) -> PodBuilder {
    pod.annotation(INDEX, index)
}

fn created(work: &Work) -> Vec<Replica> {
    match work {
        Work::Create(replicas) => replicas.clone(),
        other => panic!("{other:?}"),
    }
}

fn indexes(work: &Work) -> Vec<usize> {
    created(work)
        .iter()
        .map(|replica| replica.index.unwrap())
        .collect()
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().map(|pod| &*pod.metadata.name).collect()
}

#[test]
fn pods_are_created_up_to_what_is_missing() {
    for (spec, succeeded, active, want) in [
        (json!({ "parallelism": 2, "completions": 5 }), 0, 0, 2),
        (json!({ "parallelism": 2, "completions": 5 }), 4, 0, 1),
        (json!({ "parallelism": 3, "completions": 5 }), 3, 1, 1),
        (json!({ "parallelism": 3 }), 0, 1, 2),
        (json!({ "parallelism": 3 }), 1, 1, 0),
        (json!({ "parallelism": 0, "completions": 5 }), 0, 0, 0),
        (json!({ "parallelism": 2000, "completions": 2000 }), 0, 0, 500),
    ] {
        let world = world(spec.clone(), json!({ "succeeded": succeeded }))
            .with((0..active).map(|n| pod(&format!("p{n}"))));
        let have = match world.plan().work {
            Work::Create(replicas) => replicas.len(),
            Work::Nothing => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(have, want, "{spec} with {succeeded} done and {active} active");
    }
}

#[test]
fn too_many_pods_are_removed_and_do_not_count() {
    let mut world = world(
        json!({ "parallelism": 1, "completions": 5 }),
        json!({ "active": 2 }),
    )
    .with([pod("pending"), pod("runs").node("n").phase("Running")]);
    let (plan, tracking, _) = world.sync();
    let Work::Remove(gone) = &plan.work else { panic!() };
    assert_eq!(names(gone), ["pending"]);
    assert_eq!(
        (
            tracking.status.active,
            tracking.status.terminating,
            tracking.status.failed
        ),
        (1, Some(1), 0)
    );
}

#[test]
fn nothing_is_created_while_the_cache_lags_or_the_job_goes() {
    let mut world = world(json!({ "parallelism": 1, "completions": 1 }), json!({}));
    world.settled = false;
    assert!(matches!(world.plan().work, Work::Wait));
    world.settled = true;
    world.job.metadata.deletion_timestamp = serde_json::from_value(json!(at(1))).unwrap();
    assert!(matches!(world.plan().work, Work::Wait));
}

#[test]
fn an_end_is_counted_once() {
    let mut world = world(
        json!({ "parallelism": 2, "completions": 3 }),
        json!({ "active": 2 }),
    )
    .with([ended("good", "Succeeded"), ended("bad", "Failed")]);
    let (_, tracking) = world.tracked();
    let uncounted = tracking.status.uncounted_terminated_pods.clone().unwrap();
    assert_eq!(
        (uncounted.succeeded, uncounted.failed),
        (vec!["uid-good".into()], vec!["uid-bad".into()])
    );
    assert_eq!(
        (tracking.status.succeeded, tracking.status.failed),
        (0, 0),
        "not before the finalizers are off"
    );
    world.sync();
    assert_eq!((world.job.status.succeeded, world.job.status.failed), (1, 1));
    // The cache still shows the finalizers.
    let (_, tracking, _) = world.sync();
    assert!(tracking.free.is_empty());
    assert_eq!((world.job.status.succeeded, world.job.status.failed), (1, 1));
    // A manager that died between the two writes left the uids; the next one finds the pods free.
    world.job.status.uncounted_terminated_pods =
        serde_json::from_value(json!({ "succeeded": ["uid-good"], "failed": ["uid-bad"] })).unwrap();
    let (_, _, wrote) = world.sync();
    assert!(wrote);
    assert_eq!((world.job.status.succeeded, world.job.status.failed), (2, 2));
}

#[test]
fn a_sync_that_finds_nothing_new_writes_nothing() {
    let spec = json!({ "parallelism": 1, "completions": 2 });
    let mut quiet = world(spec, json!({ "active": 1 })).with([pod("p")]);
    assert!(!quiet.sync().2);
    let mut done = world(
        json!({ "parallelism": 2, "completions": 2, "completionMode": "Indexed" }),
        json!({ "active": 1, "succeeded": 1, "completedIndexes": "0" }),
    )
    .with([indexed(pod("p"), "1"), indexed(ended("q", "Succeeded"), "0")]);
    done.freed.insert("uid-q".into());
    assert!(!done.sync().2);
}

#[test]
fn a_job_completes_when_all_is_counted() {
    let mut world = world(
        json!({ "parallelism": 1, "completions": 1 }),
        json!({ "active": 1 }),
    )
    .with([ended("p", "Succeeded")]);
    let (_, tracking) = world.tracked();
    assert!(
        tracking.status.holds("SuccessCriteriaMet").is_some() && tracking.status.holds("Complete").is_none()
    );
    let (_, tracking, _) = world.sync();
    assert!(world.has("Complete") && tracking.ending.unwrap().succeeded);
    let status = &world.job.status;
    assert_eq!(
        (status.succeeded, status.active, status.completion_time.unwrap().0),
        (1, 0, now())
    );
    assert_eq!(&*status.conditions[1].reason, "CompletionsReached");
    assert_eq!(
        &*status.conditions[1].message,
        "Reached expected number of succeeded pods"
    );
}

#[test]
fn without_completions_one_success_lets_the_others_end() {
    let mut world = world(
        json!({ "parallelism": 3 }),
        json!({ "active": 2, "succeeded": 1 }),
    )
    .with([pod("p").node("n").phase("Running")]);
    world.sync();
    assert!(!world.has("SuccessCriteriaMet"));
    world.pods.clear();
    world.sync();
    assert!(world.has("Complete"));
}

#[test]
fn too_many_failures_end_the_job() {
    let spec = json!({ "parallelism": 2, "completions": 5, "backoffLimit": 1 });
    let mut world = world(spec, json!({ "failed": 1, "active": 2 })).with([
        ended("bad", "Failed"),
        pod("runs").node("n").phase("Running").ready_at(5),
    ]);
    let (plan, tracking) = world.tracked();
    assert!(matches!(&plan.work, Work::End(pods) if names(pods) == ["runs"]));
    let target = tracking.status.holds("FailureTarget").unwrap();
    assert_eq!(
        (&*target.reason, &*target.message),
        (
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit"
        )
    );
    assert_eq!(tracking.free.len(), 2, "pods that run count as failed");
    world.sync();
    assert!(!world.has("Failed"), "a pod is still ending");
    world.pods.clear();
    world.sync();
    assert!(world.has("Failed"));
    assert_eq!(
        (
            world.job.status.failed,
            world.job.status.active,
            world.job.status.completion_time
        ),
        (3, 0, None)
    );
}

#[test]
fn the_verdict_waits_for_pods_that_cannot_be_deleted() {
    let spec = json!({ "parallelism": 1, "completions": 5, "backoffLimit": 0 });
    let world = world(spec, json!({ "active": 1 })).with([ended("bad", "Failed"), pod("stays")]);
    let plan = world.plan();
    let tracking = track(&world.observed(), &plan, Enacted::default());
    assert!(tracking.ending.is_none() && tracking.status.conditions.is_empty());
    assert_eq!(names(&tracking.free), ["bad"]);
}

#[test]
fn restarts_in_place_count_where_containers_restart() {
    let restarted = || pod("p").node("n").phase("Running").restarts(2);
    let template = |policy: &str| json!({ "spec": { "containers": [], "restartPolicy": policy } });
    for (policy, limit, ends) in [
        ("OnFailure", 2, true),
        ("OnFailure", 3, false),
        ("OnFailure", 0, true),
        ("Never", 0, false),
    ] {
        let world = world(
            json!({ "backoffLimit": limit, "template": template(policy) }),
            json!({}),
        )
        .with([restarted()]);
        assert_eq!(world.plan().verdict.is_some(), ends, "{policy} {limit}");
    }
}

#[test]
fn replacements_wait_longer_with_each_failure() {
    let mut world =
        world(json!({ "parallelism": 1, "completions": 1 }), json!({})).with([ended("bad", "Failed")]);
    let (plan, _, _) = world.sync();
    assert!(matches!(plan.work, Work::Nothing));
    assert_eq!(plan.wake, Some(Duration::from_secs(9)));
    world.failures.last = Some(Timestamp::from_second(NOW - 11).unwrap());
    assert_eq!(created(&world.plan().work).len(), 1);
}

#[test]
fn time_is_limited_but_not_while_suspended() {
    let world_at = |limit: i64, suspend: bool| {
        world(
            json!({ "activeDeadlineSeconds": limit, "suspend": suspend }),
            json!({}),
        )
        .with([pod("p")])
    };
    let late = world_at(60, false).plan();
    assert_eq!(&*late.verdict.unwrap().reason, "DeadlineExceeded");
    let early = world_at(90, false).plan();
    assert!(early.verdict.is_none());
    assert_eq!(early.wake, Some(Duration::from_secs(30)));
    assert!(world_at(60, true).plan().verdict.is_none());
}

#[test]
fn suspending_removes_pods_and_stops_the_clock() {
    let mut world = world(json!({ "suspend": true }), json!({ "active": 1 }))
        .with([pod("p").node("n").phase("Running").ready_at(5)]);
    let (plan, tracking, _) = world.sync();
    assert!(matches!(plan.work, Work::Remove(_)));
    assert_eq!(tracking.suspended, Some(true));
    assert!(world.has("Suspended") && world.job.status.start_time.is_none());
    world.job.spec.suspend = Some(false);
    world.pods.clear();
    let (plan, tracking, _) = world.sync();
    assert!(matches!(plan.work, Work::Create(_)));
    assert_eq!(tracking.suspended, Some(false));
    let resumed = &world.job.status.conditions[0];
    assert_eq!(
        (resumed.status, &*resumed.reason),
        (ConditionStatus::False, "JobResumed")
    );
    assert_eq!(world.job.status.start_time.unwrap().0, now());
}

#[test]
fn deleted_pods_are_replaced_at_once_or_when_they_have_ended() {
    let leaving = || {
        [pod("p")
            .node("n")
            .phase("Running")
            .with("/metadata/deletionTimestamp", at(NOW))]
    };
    let spec = |policy: &str| json!({ "completions": 1, "podReplacementPolicy": policy });
    let mut at_once = world(spec("TerminatingOrFailed"), json!({ "active": 1 })).with(leaving());
    at_once.failures.last = None;
    let (_, tracking) = at_once.tracked();
    assert_eq!(names(&tracking.free), ["p"], "it counts as failed");
    let mut patient = world(spec("Failed"), json!({ "active": 1 })).with(leaving());
    let (plan, tracking, _) = patient.sync();
    assert!(matches!(plan.work, Work::Nothing) && tracking.free.is_empty());
    assert_eq!(
        (
            patient.job.status.terminating,
            patient.job.status.failed,
            patient.job.status.active
        ),
        (Some(1), 0, 0)
    );
}

#[test]
fn every_index_gets_one_pod() {
    let spec = json!({ "parallelism": 3, "completions": 5, "completionMode": "Indexed" });
    let world = world(
        spec,
        json!({ "active": 1, "succeeded": 1, "completedIndexes": "0" }),
    )
    .with([indexed(pod("two"), "2")]);
    assert_eq!(indexes(&world.plan().work), [1, 3]);
}

#[test]
fn indexes_are_told_as_they_succeed() {
    let spec = json!({ "parallelism": 4, "completions": 4, "completionMode": "Indexed" });
    let mut world = world(spec, json!({ "active": 4 })).with([
        indexed(ended("a", "Succeeded"), "1"),
        indexed(ended("b", "Succeeded"), "0"),
        indexed(ended("c", "Failed"), "2"),
        indexed(ended("beyond", "Succeeded"), "9"),
    ]);
    world.failures.last = None;
    world.sync();
    assert_eq!(
        (
            &*world.job.status.completed_indexes,
            world.job.status.succeeded,
            world.job.status.failed
        ),
        ("0,1", 2, 1)
    );
}

#[test]
fn an_index_fails_alone() {
    let spec = json!({ "parallelism": 2, "completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX });
    let first = || indexed(ended("zero", "Failed"), "0").annotation(FAILURES, "0");
    let mut fresh = world(spec.clone(), json!({ "active": 2 })).with([first(), indexed(pod("one"), "1")]);
    let (plan, tracking, _) = fresh.sync();
    assert!(matches!(plan.work, Work::Nothing) && plan.wake == Some(Duration::from_secs(9)));
    assert!(
        tracking.free.is_empty(),
        "it stays until its replacement carries on its count"
    );
    let old = first().with(
        "/status/containerStatuses",
        json!([{ "name": "c", "state": { "terminated": { "exitCode": 1, "finishedAt": at(NOW - 100) } } }]),
    );
    let waited = world(spec.clone(), json!({ "active": 2 })).with([old, indexed(pod("one"), "1")]);
    assert_eq!(
        created(&waited.plan().work),
        [Replica {
            index: Some(0),
            failures: Some((1, 0))
        }]
    );
    let second = indexed(ended("again", "Failed"), "0").annotation(FAILURES, "1");
    let mut failed =
        world(spec, json!({ "active": 2 })).with([second, indexed(ended("one", "Succeeded"), "1")]);
    failed.sync();
    assert_eq!(
        (
            failed.job.status.failed_indexes.as_deref(),
            &*failed.job.status.completed_indexes
        ),
        (Some("0"), "1")
    );
    assert!(failed.has("Failed"));
    assert_eq!(&*failed.job.status.conditions[0].reason, "FailedIndexes");
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let spec = json!({ "parallelism": 5, "completions": 5, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1,
                       "backoffLimit": i32::MAX });
    let pods = ["0", "1"].map(|index| indexed(ended(&format!("p{index}"), "Failed"), index));
    let plan = world(spec, json!({ "active": 5 })).with(pods).plan();
    assert_eq!(&*plan.verdict.unwrap().reason, "MaxFailedIndexesExceeded");
}

#[test]
fn a_policy_ignores_counts_or_ends() {
    let with = |action: &str| {
        json!({ "parallelism": 1, "completions": 1, "backoffLimit": 0,
        "podFailurePolicy": { "rules": [{ "action": action, "onExitCodes": { "operator": "In", "values": [1] } }] } })
    };
    let mut ignored = world(with("Ignore"), json!({ "active": 1 })).with([ended("p", "Failed")]);
    let (plan, tracking, _) = ignored.sync();
    assert!(plan.verdict.is_none());
    assert_eq!((names(&tracking.free), ignored.job.status.failed), (vec!["p"], 0));
    let counted = world(with("Count"), json!({ "active": 1 }))
        .with([ended("p", "Failed")])
        .plan();
    assert_eq!(&*counted.verdict.unwrap().reason, "BackoffLimitExceeded");
    let fatal = world(with("FailJob"), json!({ "active": 1 }))
        .with([ended("p", "Failed")])
        .plan();
    let verdict = fatal.verdict.unwrap();
    assert_eq!(&*verdict.reason, "PodFailurePolicy");
    assert!(
        verdict
            .message
            .starts_with("Container c for pod default/p failed with exit code 1")
    );
}

#[test]
fn an_ignored_failure_of_an_index_is_carried_on_apart() {
    let spec = json!({ "completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX,
        "podFailurePolicy": { "rules": [{ "action": "Ignore", "onExitCodes": { "operator": "In", "values": [1] } }] } });
    let old = indexed(pod("p").phase("Failed"), "0")
        .annotation(FAILURES, "1")
        .annotation(IGNORED_FAILURES, "0")
        .with(
            "/status/containerStatuses",
            json!([{ "name": "c", "state": { "terminated": { "exitCode": 1, "finishedAt": at(NOW - 1000) } } }]),
        );
    let world = world(spec, json!({ "active": 1 })).with([old]);
    assert_eq!(
        created(&world.plan().work)[0].failures,
        Some((1, 1)),
        "ignored failures do not fail the index"
    );
}

#[test]
fn success_by_policy_ends_what_still_runs() {
    let spec = json!({ "parallelism": 3, "completions": 3, "completionMode": "Indexed", "successPolicy": { "rules": [{ "succeededIndexes": "0" }] } });
    let mut world = world(spec, json!({ "active": 3 })).with([
        indexed(ended("a", "Succeeded"), "0"),
        indexed(pod("b").phase("Running").node("n"), "1"),
    ]);
    let (plan, tracking, _) = world.sync();
    assert!(matches!(&plan.work, Work::End(pods) if names(pods) == ["b"]));
    assert_eq!(tracking.free.len(), 2);
    assert!(world.has("SuccessCriteriaMet") && !world.has("Complete"));
    assert_eq!(
        world.job.status.failed, 0,
        "pods that were not needed have not failed"
    );
    world.pods.clear();
    world.sync();
    assert!(world.has("Complete"));
    let complete = world.job.holds("Complete").unwrap();
    assert_eq!(
        (&*complete.reason, &*complete.message),
        ("SuccessPolicy", "Matched rules at index 0")
    );
}

#[test]
fn adopted_pods_are_held_like_others() {
    let mut world = world(json!({ "completions": 1 }), json!({ "active": 1 }));
    world.pods.push(ended("orphan", "Succeeded").arc());
    world.sync();
    assert_eq!(world.job.status.succeeded, 1);
}
