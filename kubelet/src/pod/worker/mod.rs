//! A pod's task. It owns all that is known of the pod and does one thing at a time to it; whatever happens in the
//! meantime (news of the pod, runtime events, probes) is taken in beside that.
//!
//! ```text
//! Running --deleted, failed, finished--> Stopping --containers ended--> Releasing --sandbox, volumes, cgroup--> Released
//!                                          final status told beside that, pod object deleted, all removed --> gone
//! ```

mod probing;
mod report;
mod steps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use tokio::sync::mpsc;

use super::backoff::Backoffs;
use super::calm::Hurry;
use super::observed::Observed;
use super::publish::Publisher;
use super::resize::{self, InProgress, Pending, PodResources};
use super::shared::Shared;
use super::spec::PodExt as _;
use super::startup;
use super::sync::Done;
use crate::context::PodRef;
use crate::probe::{Key, Outcome, Probes};
use crate::status::{Reasons, Verdict};

/// News for a pod's task.
#[derive(Debug)]
pub enum Message {
    /// The pod as its source has it now.
    Update(PodRef),
    /// The mirror of a static pod as the API has it now.
    Mirror(Option<PodRef>),
    /// Something happened to its containers at this time.
    Wake(Timestamp),
    /// Its source does not have it any more.
    Removed,
    /// It was not admitted: nothing of it is ever started.
    Reject(Verdict),
    /// It has to fail: evicted.
    Fail(Verdict, Option<i64>),
    /// A resize waits, or was allocated to it for this generation (the pod with it follows).
    Resize(Option<Pending>, Option<i64>),
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Stopping,
    Releasing,
    Released,
    Deleting,
    Forgetting,
}

/// What the task is doing.
enum Outcomes {
    Synced(Box<Done>),
    Stopped(Result<Observed, String>),
    Released(Result<(), String>),
    Deleted(Result<(), String>),
    Forgotten(Result<(), String>),
}

type Attempt = BoxFuture<'static, (Key, Outcome)>;

struct Worker {
    shared: Arc<Shared>,
    uid: Arc<str>,
    pod: PodRef,
    mirror: Option<PodRef>,
    removed: bool,
    failed: Option<Verdict>,
    rejected: bool,
    grace: Option<i64>,
    stage: Stage,
    seen: Observed,
    looked: Option<Timestamp>,
    probes: Probes,
    backoffs: Backoffs,
    reasons: Reasons,
    status: core::PodStatus,
    publisher: Publisher,
    published: bool,
    /// Something has changed since the last pass.
    dirty: bool,
    /// Volumes have to be brought up to date.
    refresh: bool,
    failures: u32,
    retry: Option<Instant>,
    waits_for_objects: bool,
    hooks_done: bool,
    resize: resize::Conditions,
    actuated: Option<Arc<PodResources>>,
    /// `seen` is what the runtime has: nothing was done or happened since.
    fresh: bool,
    /// When the pod was seen first, until it has started.
    appeared: Option<Instant>,
    /// While it stops, and gives back what it has.
    hurry: Option<Hurry>,
    write_failures: u32,
    /// Until then a status without urgency waits for the next one.
    hold: Option<Instant>,
    write_retry: Option<Instant>,
    progress: mpsc::UnboundedSender<Observed>,
}

/// Runs a pod's task to the pod's end.
pub async fn run(shared: Arc<Shared>, pod: PodRef, mut inbox: mpsc::UnboundedReceiver<Message>) {
    let (progress, mut reports) = mpsc::unbounded_channel();
    let mut worker = Worker::new(shared, pod, progress);
    let mut doing: Option<BoxFuture<'static, Outcomes>> = None;
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    loop {
        while let Ok(message) = inbox.try_recv() {
            worker.take(message);
        }
        if worker.wants_to_stop() && worker.stage == Stage::Running {
            // Whatever is being started is not wanted any more.
            doing = None;
            worker.stage = Stage::Stopping;
            worker.hurry = Some(worker.shared.calm.hurry());
        }
        if worker.interrupts() {
            doing = None;
        }
        // First the word, then the deed: a pod may be deleted once its last word is through.
        worker.publish();
        if doing.is_none() {
            doing = worker.next();
        }
        if worker.stage == Stage::Running || worker.stage == Stage::Stopping {
            worker.probe(&mut attempts);
        }
        let wake = worker.wake_at(doing.is_some());
        let uid = Arc::clone(&worker.uid);
        let shared = Arc::clone(&worker.shared);
        let waits = worker.waits_for_objects && doing.is_none();
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => worker.take(message),
                None => return,
            },
            Some(seen) = reports.recv() => worker.observe(seen),
            outcome = async { match doing.as_mut() { Some(d) => d.await, None => std::future::pending().await } } => {
                doing = None;
                while let Ok(seen) = reports.try_recv() {
                    worker.observe(seen);
                }
                if worker.finish(outcome) {
                    break;
                }
            }
            Some((key, outcome)) = attempts.next(), if !attempts.is_empty() => worker.probed(&key, &outcome),
            result = worker.publisher.written() => worker.wrote(result),
            () = shared.volumes.changed(&uid), if waits => {
                worker.dirty = true;
                worker.retry = None;
            }
            () = sleep_until(wake) => {}
        }
    }
    worker.shared.node.pods.remove(&worker.uid);
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Worker {
    fn new(shared: Arc<Shared>, pod: PodRef, progress: mpsc::UnboundedSender<Observed>) -> Self {
        let max = shared
            .node
            .config
            .crash_loop_back_off
            .max_container_restart_period;
        let mut worker = Self {
            uid: pod.uid().into(),
            status: pod.status.clone().unwrap_or_default(),
            mirror: None,
            removed: false,
            failed: None,
            rejected: false,
            grace: None,
            stage: Stage::Running,
            seen: Observed::default(),
            looked: None,
            probes: Probes::default(),
            backoffs: Backoffs::new(max.map_or(Duration::from_secs(300), |m| m.0)),
            reasons: Reasons::new(),
            publisher: Publisher::default(),
            published: false,
            dirty: true,
            refresh: true,
            failures: 0,
            retry: None,
            waits_for_objects: false,
            hooks_done: false,
            resize: resize::Conditions::of(pod.status.as_ref()),
            actuated: None,
            fresh: false,
            appeared: startup::is_ahead(&pod).then(Instant::now),
            hurry: None,
            write_failures: 0,
            hold: None,
            write_retry: None,
            progress,
            shared,
            pod,
        };
        if !worker.pod.is_static() {
            worker.publisher.learn(&worker.pod);
        }
        worker
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Update(pod) => {
                if !pod.is_static() {
                    self.publisher.learn(&pod);
                    self.published = false;
                }
                let spec_changed = self.pod.spec != pod.spec || self.pod.is_deleting() != pod.is_deleting();
                let meta_changed = self.pod.metadata.annotations != pod.metadata.annotations
                    || self.pod.metadata.labels != pod.metadata.labels;
                self.pod = pod;
                self.dirty |= spec_changed || meta_changed;
                self.refresh |= meta_changed || spec_changed;
                self.compute();
            }
            Message::Mirror(mirror) => {
                match &mirror {
                    Some(mirror) => {
                        if self.status.start_time.is_none()
                            && let Some(status) = &mirror.status
                        {
                            self.status = status.clone();
                        }
                        self.publisher.learn(mirror);
                        self.published = false;
                    }
                    None => self.publisher = Publisher::default(),
                }
                self.mirror = mirror;
                self.compute();
            }
            Message::Wake(at) => {
                if self.looked.is_none_or(|looked| at > looked) {
                    self.dirty = true;
                    self.fresh = false;
                }
            }
            Message::Removed => self.removed = true,
            Message::Resize(pending, started) => {
                self.resize.pending = pending;
                if let Some(generation) = started {
                    self.resize.in_progress = Some(InProgress {
                        generation,
                        error: None,
                    });
                } else {
                    self.compute();
                }
            }
            Message::Reject(verdict) => {
                self.rejected = true;
                self.failed = Some(verdict);
                self.compute();
            }
            Message::Fail(verdict, grace) => {
                if self.failed.is_none() {
                    self.failed = Some(verdict);
                    self.grace = grace;
                }
            }
        }
    }

    fn observe(&mut self, seen: Observed) {
        self.seen = seen;
        self.compute();
    }

    fn is_final(phase: Option<&str>) -> bool {
        matches!(phase, Some("Failed" | "Succeeded"))
    }

    fn wants_to_stop(&self) -> bool {
        let api = self.pod.status.as_ref().and_then(|s| s.phase.as_deref());
        self.pod.is_deleting()
            || self.removed
            || self.failed.is_some()
            || self.past_deadline()
            || Self::is_final(api)
            || (Self::is_final(self.status.phase.as_deref()) && self.seen.running().next().is_none())
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec().active_deadline_seconds?;
        self.status
            .start_time
            .as_ref()?
            .0
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .ok()
    }

    fn past_deadline(&self) -> bool {
        self.deadline().is_some_and(|at| Timestamp::now() >= at)
    }

    /// A stop under way is begun anew with the shorter grace period that was asked for meanwhile.
    fn interrupts(&mut self) -> bool {
        if self.stage != Stage::Stopping {
            return false;
        }
        let asked = self.pod.metadata.deletion_grace_period_seconds;
        match (asked, self.grace) {
            (Some(asked), Some(running)) if asked < running => {
                self.grace = Some(asked);
                self.hooks_done = true;
                true
            }
            _ => false,
        }
    }

    /// When to look at things again without any news.
    fn wake_at(&self, busy: bool) -> Option<Instant> {
        let now = Timestamp::now();
        let in_time = |at: Timestamp| {
            Instant::now()
                + Duration::try_from(at.duration_since(now)).unwrap_or_default()
                + Duration::from_millis(1)
        };
        let probe = (self.stage <= Stage::Stopping)
            .then(|| self.probes.due(now).1)
            .flatten()
            .map(in_time);
        let retry = self.retry.filter(|_| !busy);
        let write = self.write_retry.filter(|_| !self.published);
        let deadline = self
            .deadline()
            .filter(|_| self.stage == Stage::Running)
            .map(in_time);
        [probe, retry, write, deadline, self.hold]
            .into_iter()
            .flatten()
            .min()
    }
}
