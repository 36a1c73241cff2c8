//! What the task does next, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use machinery::client::DeleteOptions;
use machinery::meta::resources::PODS;
use tracing::{debug, info, warn};

use super::{Outcomes, Stage, Worker};
use crate::cri::observe;
use crate::pod::events::About;
use crate::pod::observed::Observed;
use crate::pod::shared::Shared;
use crate::pod::spec::PodExt as _;
use crate::pod::sync::{self, Done, Job, Unfinished};
use crate::pod::{collect, kill};
use crate::status::{self, Verdict};

/// That a pod's last processes are still going is no news before it has failed so often.
const WORTH_TELLING: u32 = 4;

impl Worker {
    /// What to do next, if anything.
    pub(super) fn next(&mut self) -> Option<BoxFuture<'static, Outcomes>> {
        let past = self.past_retry();
        if self.retry.is_some() && !(self.stage == Stage::Running && self.dirty) {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        let pod = Arc::clone(&self.pod);
        match self.stage {
            Stage::Running => {
                self.dirty |= past;
                if !std::mem::take(&mut self.dirty) {
                    return None;
                }
                self.retry = None;
                self.fresh = false;
                let job = Job {
                    pod,
                    before: self.seen.clone(),
                    verdicts: self.probes.verdicts(),
                    backoffs: self.backoffs.clone(),
                    reasons: self.reasons.clone(),
                    refresh: std::mem::take(&mut self.refresh),
                    progress: self.progress.clone(),
                };
                Some(Box::pin(async move {
                    Outcomes::Synced(Box::new(sync::sync(&shared, job).await))
                }))
            }
            Stage::Stopping => {
                if self.failed.is_none() && self.past_deadline() && !self.pod.is_deleting() {
                    self.failed = Some(Verdict {
                        reason: "DeadlineExceeded".into(),
                        message: "Pod was active on the node longer than the specified deadline".into(),
                    });
                    About::pod(&shared.node.events, &pod).normal(
                        "DeadlineExceeded",
                        "Pod was active on the node longer than the specified deadline",
                    );
                }
                let override_grace = self.grace.filter(|_| self.failed.is_some() || self.hooks_done);
                self.grace = self.grace.or(pod.metadata.deletion_grace_period_seconds);
                let how = kill::How {
                    grace: override_grace,
                    hooks_done: self.hooks_done,
                    ..kill::USUAL
                };
                let (before, ips) = (self.seen.clone(), self.shared.node.addresses.borrow().clone());
                let fresh = std::mem::take(&mut self.fresh);
                Some(Box::pin(async move {
                    let (cri, begun) = (&shared.node.cri, Instant::now());
                    let stop = async {
                        let seen = if fresh {
                            before
                        } else {
                            observe::pod(cri, pod.uid(), &before).await?
                        };
                        let ip = status::pod_ips(&seen, &pod, &ips).first().copied();
                        kill::containers(&shared, &pod, &seen, ip, how).await?;
                        if pod.has_host_ports() {
                            // Who sees the final status may give the ports to another pod.
                            kill::sandboxes(&shared, &seen).await?;
                        }
                        observe::containers_again(cri, &seen).await
                    };
                    let stopped = stop.await;
                    debug!(pod = pod.full(), took = ?begun.elapsed(), "stopped containers");
                    Outcomes::Stopped(stopped.map_err(|e| e.to_string()))
                }))
            }
            Stage::Releasing => {
                let seen = self.seen.clone();
                Some(Box::pin(async move {
                    let begun = Instant::now();
                    let released = release(&shared, pod.uid(), &seen).await;
                    debug!(pod = pod.full(), took = ?begun.elapsed(), ?released, "released what the pod had");
                    Outcomes::Released(released)
                }))
            }
            Stage::Released if self.removed || (self.pod.is_static() && self.pod.is_deleting()) => {
                self.stage = Stage::Forgetting;
                self.next()
            }
            Stage::Released if self.pod.is_deleting() && self.published && !self.publisher.is_busy() => {
                self.stage = Stage::Deleting;
                self.next()
            }
            Stage::Released => None,
            Stage::Deleting => {
                let Some(api) = shared.node.api.clone() else {
                    self.stage = Stage::Forgetting;
                    return self.next();
                };
                let options = DeleteOptions::default().grace(0).uid(pod.uid());
                Some(Box::pin(async move {
                    let begun = Instant::now();
                    let result = api.delete(&PODS, pod.namespace(), pod.name(), &options).await;
                    debug!(pod = pod.full(), took = ?begun.elapsed(), "deleted the pod object");
                    Outcomes::Deleted(match result {
                        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.to_string()),
                        _ => Ok(()),
                    })
                }))
            }
            Stage::Forgetting => {
                let seen = self.seen.clone();
                Some(Box::pin(async move {
                    // A static pod's successor of the same name waits for this.
                    let _turn = if pod.is_static() {
                        None
                    } else {
                        shared.calm.turn().await
                    };
                    Outcomes::Forgotten(
                        collect::everything(&shared, &pod, &seen)
                            .await
                            .map_err(|e| e.to_string()),
                    )
                }))
            }
        }
    }

    pub(super) fn past_retry(&mut self) -> bool {
        let past = self.retry.is_some_and(|at| at <= Instant::now());
        if past {
            self.retry = None;
        }
        past
    }

    /// Takes in what was done; whether the pod is gone.
    pub(super) fn finish(&mut self, outcome: Outcomes) -> bool {
        match outcome {
            Outcomes::Synced(done) => {
                let Done {
                    seen,
                    looked,
                    backoffs,
                    reasons,
                    unfinished,
                    actuated,
                    resize_error,
                } = *done;
                (self.backoffs, self.reasons, self.looked) = (backoffs, reasons, Some(looked));
                self.waits_for_objects = unfinished.is_some_and(|u| u.waits_for_objects);
                self.fresh = unfinished.is_none() && !self.dirty;
                match unfinished {
                    None => self.failures = 0,
                    Some(Unfinished { retry: Some(at), .. }) => self.retry = Some(at),
                    Some(Unfinished { retry: None, .. }) => self.try_again(),
                }
                self.actuated = Some(actuated);
                if let Some(why) = resize_error {
                    self.resize_failed(why);
                }
                self.observe(seen);
            }
            Outcomes::Stopped(Ok(mut seen)) if seen.running().next().is_none() => {
                // The sandboxes go next: no later status is to tell.
                seen.sandboxes.iter_mut().for_each(|s| s.ready = false);
                self.seen = seen;
                self.stage = Stage::Releasing;
                self.failures = 0;
                self.compute();
            }
            Outcomes::Stopped(Ok(seen)) => {
                self.hooks_done = true;
                self.observe(seen);
                self.try_again();
            }
            Outcomes::Stopped(Err(why)) => {
                self.hooks_done = true;
                warn!(pod = self.pod.full(), %why, "stopping the pod: trying again");
                About::pod(&self.shared.node.events, &self.pod)
                    .warning("FailedKillPod", format!("error killing pod: {why}"));
                self.try_again();
            }
            Outcomes::Released(Ok(())) => {
                self.stage = Stage::Released;
                self.hurry = None;
                self.failures = 0;
                self.compute();
            }
            Outcomes::Deleted(Ok(())) => {
                self.stage = Stage::Forgetting;
                self.failures = 0;
            }
            Outcomes::Forgotten(Ok(())) => {
                info!(pod = self.pod.full(), "pod is gone");
                return true;
            }
            Outcomes::Released(Err(why)) if self.failures == WORTH_TELLING => {
                warn!(pod = self.pod.full(), %why, "releasing what the pod had: trying again");
                About::pod(&self.shared.node.events, &self.pod)
                    .warning("FailedKillPod", format!("error killing pod: {why}"));
                self.try_again();
            }
            Outcomes::Released(Err(why)) | Outcomes::Deleted(Err(why)) | Outcomes::Forgotten(Err(why)) => {
                debug!(pod = self.pod.full(), %why, stage = ?self.stage, "trying again");
                self.try_again();
            }
        }
        false
    }

    /// A little later each time: up to 10 s, from 0.2 s, or from 25 ms where the last processes may just be going.
    pub(super) fn try_again(&mut self) {
        let first = if self.stage == Stage::Releasing { 25 } else { 200 };
        let delay = Duration::from_millis(first << self.failures.min(9)).min(Duration::from_secs(10));
        self.failures += 1;
        self.retry = Some(Instant::now() + delay);
    }
}

/// Gives back what a pod held whose containers have ended.
async fn release(shared: &Arc<Shared>, uid: &str, seen: &Observed) -> Result<(), String> {
    let (stopped, unmounted) = tokio::join!(kill::sandboxes(shared, seen), shared.volumes.unmount(uid));
    stopped.map_err(|e| e.to_string())?;
    unmounted.map_err(|e| e.to_string())?;
    let (cgroups, uid) = (Arc::clone(shared), uid.to_owned());
    let removed = tokio::task::spawn_blocking(move || cgroups.cgroups.remove(&uid)).await;
    removed.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
