//! Watches, claims, writes.

use super::TRACKING;
use super::awaited::Awaited;
use super::body::Bodies;
use super::failures::Failures;
use super::orphans::{Suspect, freeing_patch, is_abandoned, is_job};
use super::plan::{Replica, Work, plan};
use super::tally::{Observed, count};
use super::track::{Enacted, Ending, Tracking, track};
use crate::api::{CompletionMode, Job, Pod, status_update};
use crate::caches::{BY_NAMESPACE, BY_OWNER, orphans_of};
use crate::context::Context;
use crate::ownership::{Consistency, Expectations, PodClaims};
use crate::podcontrol::PodControl;
use crate::pods::Fan;
use crate::work::work;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::{JOBS, PODS};
use machinery::meta::{Istr, ObjectKey, ObjectMeta, ObjectRef, OwnerRef, PartialObject};
use machinery::queue::{Next, Queue, run_workers};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the news of pods are gathered before a Job is looked at: many pods of a Job end together, and each look writes its status.
const GATHER: Duration = Duration::from_millis(100);
/// Back-off after failed requests: a quota that is full may be free again soon.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

struct Controller {
    context: Context,
    pods: Cache<Pod>,
    jobs: Cache<Job>,
    queue: Queue<ObjectKey>,
    suspects: Queue<Suspect>,
    expectations: Expectations,
    consistency: Consistency,
    awaited: Awaited,
    /// Failures of pods, by Job. Not kept over restarts, as upstream's are not.
    failures: Mutex<FxHashMap<Istr, Failures>>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        jobs: context.caches.jobs().clone(),
        queue: Queue::new("job").with_backoff(BACKOFF.0, BACKOFF.1),
        suspects: Queue::new("job_orphan_pod").with_backoff(BACKOFF.0, BACKOFF.1),
        expectations: Expectations::default(),
        consistency: Consistency::default(),
        awaited: Awaited::default(),
        failures: Mutex::default(),
        context,
    });
    controller.subscribe();
    tokio::join!(controller.jobs.synced(), controller.pods.synced());
    let workers = controller.context.config.concurrent_job_syncs;
    let stop = controller.context.stop.clone();
    let (queue, suspects) = (controller.queue.clone(), controller.suspects.clone());
    let this = controller.clone();
    let work = work(JOBS, &queue, workers, &stop, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    });
    let free = run_workers(&suspects, workers, move |suspect| {
        let this = controller.clone();
        async move { this.release(&suspect).await }
    });
    tokio::join!(work, free, async {
        stop.cancelled().await;
        suspects.shutdown();
    });
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.jobs.subscribe(move |event| {
            let (job, key) = (event.object(), event.object().metadata.key());
            match event {
                Event::Deleted(last) => this.forget(&last.metadata.uid),
                Event::Updated { old, new } if old.metadata.generation == new.metadata.generation => {
                    this.queue.add_after(key, GATHER);
                }
                _ => this.queue.add(key),
            }
            if job.is_finished() || matches!(event, Event::Deleted(_)) {
                this.suspects.add(Suspect::PodsOf(job.metadata.uid.clone()));
            }
        });
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Added(pod) if pod.metadata.is_deleting() => this.pod_leaves(pod, false),
            Event::Added(pod) => this.pod_here(pod, true),
            Event::Deleted(pod) => this.pod_leaves(pod, true),
            Event::Updated { old, new } => this.pod_changed(old, new),
        });
    }

    fn forget(&self, job: &Istr) {
        self.expectations.forget(job);
        self.consistency.forget(job);
        self.awaited.forget(job);
        self.failures.lock().remove(job);
    }

    fn owner(pod: &Pod) -> Option<&OwnerRef> {
        pod.metadata.controller().filter(|owner| is_job(owner))
    }

    /// The Job that a reference means.
    fn job(&self, namespace: &str, owner: &OwnerRef) -> Option<Arc<Job>> {
        self.jobs
            .get_named(namespace, &owner.name)
            .filter(|job| job.metadata.uid == owner.uid)
    }

    fn enqueue_owner(&self, pod: &Pod) {
        if let Some(owner) = Self::owner(pod) {
            self.queue
                .add_after(ObjectKey::new(&pod.metadata.namespace, &owner.name), GATHER);
        }
    }

    fn suspect(&self, pod: &Pod) {
        if pod.metadata.has_finalizer(TRACKING) {
            self.suspects.add(Suspect::Pod(pod.metadata.key()));
        }
    }

    fn pod_here(&self, pod: &Arc<Pod>, orphan_matters: bool) {
        if let Some(owner) = Self::owner(pod) {
            self.expectations.saw_creation(&owner.uid, &pod.metadata.uid);
            self.enqueue_owner(pod);
        } else if pod.metadata.controller().is_none() {
            self.suspect(pod);
            if !orphan_matters {
                return;
            }
            // Whoever selects it may adopt it.
            for job in self.jobs.by_index(BY_NAMESPACE, &pod.metadata.namespace) {
                if Selector::try_from(&job.spec.selector)
                    .is_ok_and(|selector| selector.matches(|key| pod.metadata.labels.get(key)))
                {
                    self.queue.add_after(job.metadata.key(), GATHER);
                }
            }
        }
    }

    /// The pod is gone, or on its way out.
    fn pod_leaves(&self, pod: &Arc<Pod>, gone: bool) {
        let owner = Self::owner(pod);
        let job = owner.and_then(|owner| self.job(&pod.metadata.namespace, owner));
        let Some(owner) = owner.filter(|_| job.is_some_and(|job| !job.is_finished())) else {
            if !gone {
                self.suspect(pod);
            }
            return;
        };
        self.expectations.saw_deletion(&owner.uid, &pod.metadata.uid);
        if gone || !pod.metadata.has_finalizer(TRACKING) {
            self.awaited.seen(&owner.uid, &pod.metadata.uid);
        }
        self.enqueue_owner(pod);
    }

    fn pod_changed(&self, old: &Arc<Pod>, new: &Arc<Pod>) {
        if new.metadata.is_deleting() {
            self.pod_leaves(new, false);
            return;
        }
        if !new.metadata.has_finalizer(TRACKING) {
            for owner in [Self::owner(old), Self::owner(new)].into_iter().flatten() {
                self.awaited.seen(&owner.uid, &new.metadata.uid);
            }
        }
        let moved = old.metadata.controller() != new.metadata.controller();
        if moved {
            self.enqueue_owner(old);
        }
        self.pod_here(new, moved || old.metadata.labels != new.metadata.labels);
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(job) = self.jobs.get(key) else {
            return Ok(Next::Done);
        };
        let uid = &job.metadata.uid;
        if job.foreign_manager().is_some() {
            return Ok(Next::Done);
        }
        if job.is_finished() {
            self.forget(uid);
            return Ok(Next::Done);
        }
        if !self
            .consistency
            .is_caught_up(uid, [&job.metadata], Instant::now())
        {
            return Ok(Next::After(Duration::from_secs(1))); // the Job's own event comes sooner
        }
        if job.spec.completion_mode == CompletionMode::Unknown {
            let message = "Skipped Job sync because completion mode is unknown";
            self.context.events.warning(
                &ObjectRef::new(&JOBS, &job.metadata),
                "UnknownCompletionMode",
                message,
            );
            return Ok(Next::Done);
        }
        let settled = self.expectations.wait(uid, Instant::now()).is_none();
        // Before the pods are read: a pod that shows up as free in between must not be taken for one that is held.
        let freed = self.awaited.of(uid);
        let pods = self.claim(&job).await?;
        let observed = Observed {
            job: &job,
            pods: &pods,
            freed: &freed,
            settled,
            failures: self.failures.lock().get(uid).copied().unwrap_or_default(),
            now: Timestamp::now(),
        };
        let plan = plan(&observed);
        let (enacted, failure) = self.enact(&job, &plan.work).await;
        let tracking = track(&observed, &plan, enacted);
        self.write(&job, tracking, plan.tally.failures)
            .await
            .with_context(|| format!("counting the pods of Job {key}"))?;
        match failure {
            Some(error) => Err(anyhow::Error::new(error).context(format!("managing the pods of Job {key}"))),
            None => Ok(plan.wake.map_or(Next::Done, |wake| Next::After(wake.max(GATHER)))),
        }
    }

    async fn claim(&self, job: &Job) -> anyhow::Result<Vec<Arc<Pod>>> {
        let selector = Selector::try_from(&job.spec.selector)
            .with_context(|| format!("reading the selector of Job {}", job.metadata.key()))?;
        let mut pods = self.pods.by_index(BY_OWNER, &job.metadata.uid);
        pods.extend(self.pods.by_index(BY_OWNER, &orphans_of(&job.metadata.namespace)));
        let claims = PodClaims {
            client: &self.context.client,
            resource: &JOBS,
            owner: &job.metadata,
            selector: &selector,
            finalizer: Some(TRACKING),
        };
        Ok(claims.claim(pods).await?)
    }

    /// Does the plan's work on pods; what of it was done, and the first failure.
    async fn enact(&self, job: &Job, work: &Work) -> (Enacted, Option<ApiError>) {
        match work {
            Work::Wait | Work::Nothing => (Enacted::default(), None),
            Work::End(pods) => self.remove(job, pods, false).await,
            Work::Remove(pods) => {
                let uids = pods.iter().map(|pod| &pod.metadata.uid);
                self.expectations
                    .deleting(&job.metadata.uid, uids, Instant::now());
                self.remove(job, pods, true).await
            }
            Work::Create(replicas) => self.create(job, replicas).await,
        }
    }

    /// Deletes pods; those that are not to count lose their finalizer first.
    async fn remove(&self, job: &Job, pods: &[Arc<Pod>], free: bool) -> (Enacted, Option<ApiError>) {
        let control = PodControl::new(&self.context, &self.expectations, &JOBS, &job.metadata);
        let (removed, ready) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (control, removed_ref, ready_ref) = (&control, &removed, &ready);
        let outcome = Fan::all(pods.len())
            .run(|at| async move {
                let Some(pod) = pods.get(at) else {
                    return Ok(());
                };
                if free && pod.metadata.has_finalizer(TRACKING) {
                    self.free(&pod.metadata).await.inspect_err(|_| {
                        self.expectations
                            .saw_deletion(&job.metadata.uid, &pod.metadata.uid);
                    })?;
                }
                control.delete(pod).await?;
                removed_ref.fetch_add(1, Ordering::Relaxed);
                ready_ref.fetch_add(usize::from(pod.is_ready()), Ordering::Relaxed);
                Ok(())
            })
            .await;
        let enacted = Enacted {
            removed: count(removed.into_inner()),
            removed_ready: count(ready.into_inner()),
            created: 0,
        };
        (enacted, outcome.error)
    }

    async fn create(&self, job: &Job, replicas: &[Replica]) -> (Enacted, Option<ApiError>) {
        let uid = &job.metadata.uid;
        let bodies = match Bodies::new(job) {
            Ok(bodies) => bodies,
            Err(error) => return (Enacted::default(), Some(error)),
        };
        let control = PodControl::new(&self.context, &self.expectations, &JOBS, &job.metadata);
        let created = AtomicUsize::new(0);
        let (control, bodies, created_ref) = (&control, &bodies, &created);
        self.expectations.creating(uid, replicas.len(), Instant::now());
        let outcome = Fan::slow_start(replicas.len())
            .run(|at| async move {
                let body = bodies
                    .of(replicas.get(at).copied().unwrap_or_default())
                    .inspect_err(|_| self.expectations.created(uid, None))?;
                control.create(body).await?;
                created_ref.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .await;
        for _ in 0..outcome.skipped {
            self.expectations.created(uid, None);
        }
        let enacted = Enacted {
            created: count(created.into_inner()),
            ..Enacted::default()
        };
        (enacted, outcome.error)
    }

    /// Writes the status that names the pods to count, frees them, and writes the counts.
    async fn write(&self, job: &Job, mut tracking: Tracking, failures: Failures) -> Result<(), ApiError> {
        let about = ObjectRef::new(&JOBS, &job.metadata);
        let mut meta = job.metadata.clone();
        if tracking.flush {
            self.flush(&mut meta, &tracking).await?;
            tracking.flush = false;
            self.failures.lock().insert(meta.uid.clone(), failures);
            match tracking.suspended {
                Some(true) => self.context.events.normal(&about, "Suspended", "Job suspended"),
                Some(false) => self.context.events.normal(&about, "Resumed", "Job resumed"),
                None => {}
            }
        }
        let pods = std::mem::take(&mut tracking.free);
        let failure = self.free_all(&meta.uid, &pods, &mut tracking).await;
        if let Some(error) = failure {
            if tracking.flush {
                self.flush(&mut meta, &tracking).await?;
            }
            return Err(error);
        }
        let finished = tracking.finish(Timestamp::now());
        if tracking.flush || finished {
            self.flush(&mut meta, &tracking).await?;
        }
        if let Some(ending) = tracking.ending.filter(|_| finished) {
            let too_many = job
                .spec
                .completions
                .is_some_and(|wanted| tracking.status.succeeded > wanted);
            self.tell(&about, &ending, too_many);
        }
        Ok(())
    }

    fn tell(&self, about: &ObjectRef, ending: &Ending, too_many: bool) {
        let events = &self.context.events;
        if !ending.succeeded {
            // Events of one Job are few; their reasons come from a short list.
            events.warning(about, reason(&ending.reason), &ending.message);
            return;
        }
        if too_many {
            let message = "Too many succeeded pods running after completion count reached";
            events.warning(about, "TooManySucceededPods", message);
        }
        events.normal(about, "Completed", "Job completed");
    }

    async fn flush(&self, meta: &mut ObjectMeta, tracking: &Tracking) -> Result<(), ApiError> {
        let body = status_update(&JOBS, meta, &tracking.status);
        let written = self
            .context
            .client
            .update_status::<PartialObject, _>(&JOBS, &meta.namespace, &meta.name, &body)
            .await?;
        *meta = written.metadata;
        self.consistency.wrote(&meta.uid, meta, Instant::now());
        Ok(())
    }

    /// Takes the finalizer off these pods and counts those that lost it; the first failure.
    async fn free_all(&self, job: &Istr, pods: &[Arc<Pod>], tracking: &mut Tracking) -> Option<ApiError> {
        if pods.is_empty() {
            return None;
        }
        self.awaited.expect(job, pods.iter().map(|pod| &pod.metadata.uid));
        let freed = Mutex::new(Vec::with_capacity(pods.len()));
        let freed_ref = &freed;
        let outcome = Fan::all(pods.len())
            .run(|at| async move {
                let Some(pod) = pods.get(at) else {
                    return Ok(());
                };
                match self.free(&pod.metadata).await {
                    Ok(()) => {
                        freed_ref.lock().push(pod);
                        Ok(())
                    }
                    Err(error) => {
                        self.awaited.seen(job, &pod.metadata.uid);
                        Err(error)
                    }
                }
            })
            .await;
        tracking.freed(freed.into_inner());
        outcome.error
    }

    /// Takes the finalizer off, unless the pod is gone. Even then the cache may still show it.
    async fn free(&self, pod: &ObjectMeta) -> Result<(), ApiError> {
        let client = &self.context.client;
        match client
            .patch::<IgnoredAny, _>(
                &PODS,
                &pod.namespace,
                &pod.name,
                PatchKind::Strategic,
                &freeing_patch(&pod.uid),
            )
            .await
        {
            Ok(_) => Ok(()),
            Err(gone) if gone.is_not_found() || gone.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Frees pods that nobody will count.
    async fn release(&self, suspect: &Suspect) -> anyhow::Result<Next> {
        let pods = match suspect {
            Suspect::Pod(key) => self.pods.get(key).into_iter().collect(),
            Suspect::PodsOf(job) => self.pods.by_index(BY_OWNER, job),
        };
        let mut gone = None;
        for pod in pods {
            let owner = pod.metadata.controller();
            let job = owner.and_then(|owner| self.jobs.get_named(&pod.metadata.namespace, &owner.name));
            if !is_abandoned(&pod, job.as_deref()) {
                continue;
            }
            let freeing = async {
                if let Some(owner) = owner
                    && job.is_none_or(|job| job.metadata.uid != owner.uid)
                    && gone.as_ref() != Some(&owner.uid)
                {
                    let fresh = self.fresh(&pod.metadata.namespace, &owner.name).await?;
                    if !is_abandoned(&pod, fresh.as_ref()) {
                        return Ok(());
                    }
                    gone = Some(owner.uid.clone());
                }
                self.free(&pod.metadata).await
            };
            freeing
                .await
                .with_context(|| format!("freeing pod {} of no Job", pod.metadata.key()))?;
        }
        Ok(Next::Done)
    }

    /// Asks the API server, since the cache of Jobs may be behind that of pods, and a pod that is freed is not counted.
    async fn fresh(&self, namespace: &str, name: &str) -> Result<Option<Job>, ApiError> {
        match self.context.client.get(&JOBS, namespace, name).await {
            Ok(job) => Ok(Some(job)),
            Err(gone) if gone.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A reason as the event recorder wants it.
fn reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 6] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "FailedIndexes",
        "JobFailed",
        "MaxFailedIndexesExceeded",
        "PodFailurePolicy",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("Failed")
}
