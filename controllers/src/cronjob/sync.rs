//! Watches and writes.

use super::plan::{self, Note, Step};
use crate::api::{ConcurrencyPolicy, CronJob, CronJobStatus, Job, status_update};
use crate::caches::BY_OWNER;
use crate::context::Context;
use crate::ownership::Consistency;
use crate::pods::reason;
use crate::work::work;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions, Propagation};
use machinery::meta::resources::{CRON_JOBS, JOBS};
use machinery::meta::{Istr, ObjectKey, ObjectMeta, ObjectRef, PartialObject, Time};
use machinery::queue::{Next, Queue};
use rustc_hash::FxHashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Controller {
    context: Context,
    crons: Cache<CronJob>,
    jobs: Cache<Job>,
    queue: Queue<ObjectKey>,
    consistency: Consistency,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        crons: context.caches.cron_jobs().clone(),
        jobs: context.caches.jobs().clone(),
        queue: Queue::new("cronjob"),
        consistency: Consistency::default(),
        context,
    });
    controller.subscribe();
    tokio::join!(controller.crons.synced(), controller.jobs.synced());
    let workers = controller.context.config.concurrent_cron_job_syncs;
    let (queue, stop) = (controller.queue.clone(), controller.context.stop.clone());
    work(CRON_JOBS, &queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.crons.subscribe(move |event| {
            let key = event.object().metadata.key();
            match event {
                Event::Updated { old, new }
                    if old.spec.schedule != new.spec.schedule || old.spec.time_zone != new.spec.time_zone =>
                {
                    // The new schedule counts from now on: what it would have started before is not due.
                    match plan::next(new, Timestamp::now()) {
                        Some(wait) => this.queue.add_after(key, wait),
                        None => this.queue.add(key),
                    }
                }
                Event::Deleted(last) => this.consistency.forget(&last.metadata.uid),
                _ => this.queue.add(key),
            }
        });
        let this = self.clone();
        self.jobs.subscribe(move |event| {
            if let Event::Updated { old, new } = event
                && old.metadata.controller() != new.metadata.controller()
            {
                this.enqueue_owner(&old.metadata);
            }
            this.enqueue_owner(&event.object().metadata);
        });
    }

    fn enqueue_owner(&self, job: &ObjectMeta) {
        if let Some(owner) = job.controller().filter(|owner| owner.kind == "CronJob") {
            self.queue.add(ObjectKey::new(&job.namespace, &owner.name));
        }
    }

    fn tell(&self, about: &ObjectRef, notes: Vec<Note>) {
        for note in notes {
            if note.warning {
                self.context.events.warning(about, note.reason, note.message);
            } else {
                self.context.events.normal(about, note.reason, note.message);
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(cron) = self.crons.get(key) else {
            return Ok(Next::Done);
        };
        let uid = &cron.metadata.uid;
        if !self
            .consistency
            .is_caught_up(uid, [&cron.metadata], Instant::now())
        {
            return Ok(Next::After(Duration::from_secs(1))); // the CronJob's own event comes sooner
        }
        let about = ObjectRef::new(&CRON_JOBS, &cron.metadata);
        let jobs = self.jobs.by_index(BY_OWNER, uid);
        let mut status = cron.status.clone();
        for job in plan::surplus(&cron, &jobs) {
            // One that cannot be deleted now is surplus the next time, too.
            let _ = self.delete(&about, &job.metadata, &mut status).await;
        }
        let gone = self.gone(&cron.status, &jobs).await?;
        self.tell(&about, plan::settle(&cron, &mut status, &jobs, &gone));
        let (step, notes) = plan::step(&cron, &status, Timestamp::now());
        self.tell(&about, notes);
        let outcome = match step {
            Step::Rest => Ok(Next::Done),
            Step::Wait(wait) => Ok(wait.map_or(Next::Done, Next::After)),
            Step::Start(time) => self.start(&cron, &about, &mut status, time).await,
        };
        if status != cron.status {
            let body = status_update(&CRON_JOBS, &cron.metadata, &status);
            // Where somebody else wrote it, a Job that was just started is found by its name the next time.
            let written = self
                .context
                .client
                .update_status::<PartialObject, _>(&CRON_JOBS, &key.namespace, &key.name, &body)
                .await
                .with_context(|| format!("updating the status of CronJob {key}"))?;
            self.consistency.wrote(uid, &written.metadata, Instant::now());
        }
        outcome.with_context(|| format!("starting a Job of CronJob {key}"))
    }

    /// Listed Jobs that are gone. The cache may lag behind, so the API server is asked.
    async fn gone(&self, status: &CronJobStatus, jobs: &[Arc<Job>]) -> Result<FxHashSet<Istr>, ApiError> {
        let mut gone = FxHashSet::default();
        for listed in &status.active {
            if jobs.iter().any(|job| job.metadata.uid == listed.uid) {
                continue;
            }
            match self
                .context
                .client
                .get::<PartialObject>(&JOBS, &listed.namespace, &listed.name)
                .await
            {
                Ok(_) => {}
                Err(missing) if missing.is_not_found() => {
                    gone.insert(listed.uid.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    async fn delete(
        &self,
        about: &ObjectRef,
        job: &ObjectMeta,
        status: &mut CronJobStatus,
    ) -> Result<(), ApiError> {
        let options = DeleteOptions::default()
            .uid(&*job.uid)
            .propagation(Propagation::Background);
        let events = &self.context.events;
        match self
            .context
            .client
            .delete(&JOBS, &job.namespace, &job.name, &options)
            .await
        {
            Err(error) if !error.is_not_found() => {
                events.warning(
                    about,
                    "FailedDelete",
                    format_args!("Deleted job: {}", reason(&error)),
                );
                Err(error)
            }
            _ => {
                status.strike(&job.uid);
                events.normal(
                    about,
                    "SuccessfulDelete",
                    format_args!("Deleted job {}", job.name),
                );
                Ok(())
            }
        }
    }

    async fn start(
        &self,
        cron: &CronJob,
        about: &ObjectRef,
        status: &mut CronJobStatus,
        time: Timestamp,
    ) -> anyhow::Result<Next> {
        let (client, events) = (&self.context.client, &self.context.events);
        let namespace = &cron.metadata.namespace;
        if cron.spec.concurrency_policy == ConcurrencyPolicy::Replace {
            for listed in std::mem::take(&mut status.active) {
                let old = ObjectMeta {
                    name: listed.name.clone(),
                    namespace: listed.namespace.clone(),
                    uid: listed.uid.clone(),
                    ..ObjectMeta::default()
                };
                if let Err(error) = self.delete(about, &old, status).await {
                    status.active.push(listed);
                    return Err(error.into());
                }
            }
        }
        let created = client
            .create::<PartialObject, _>(&JOBS, namespace, &plan::job(cron, time))
            .await;
        let job = match created {
            Ok(job) => {
                let name = &job.metadata.name;
                events.normal(about, "SuccessfulCreate", format_args!("Created job {name}"));
                job
            }
            Err(error) if error.is_namespace_terminating() => return Ok(Next::Done),
            Err(error) if error.is_already_exists() => {
                // Made by us (who then failed to say so in the status), or by somebody else, who looks after it.
                let name = plan::job_name(cron, time);
                let job = client.get::<PartialObject>(&JOBS, namespace, &name).await?;
                if !job.metadata.is_controlled_by(&cron.metadata.uid) || status.lists(&job.metadata.uid) {
                    return Ok(Next::Done);
                }
                job
            }
            Err(error) => {
                events.warning(
                    about,
                    "FailedCreate",
                    format_args!("Error creating job: {}", reason(&error)),
                );
                return Err(error.into());
            }
        };
        status.active.push(ObjectRef::new(&JOBS, &job.metadata));
        status.last_schedule_time = Some(Time(time));
        let told = CronJob {
            status: status.clone(),
            ..cron.clone()
        };
        Ok(plan::next(&told, Timestamp::now()).map_or(Next::Done, Next::After))
    }
}
