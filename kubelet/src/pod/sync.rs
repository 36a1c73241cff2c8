//! One pass over a pod that is wanted: look, plan, act, look again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use machinery::arith::duration;
use tokio::sync::mpsc;
use tracing::debug;

use super::backoff::Backoffs;
use super::events::About;
use super::observed::{Container, Observed, RunState, Sandbox};
use super::plan::{self, ByContainer, Kill, Plan, SandboxPlan, Start};
use super::resize::steps::{self, Resize};
use super::resize::{PodResources, actuate};
use super::shared::Shared;
use super::spec::{Kind, PodExt as _, is_sidecar};
use super::start::{self, Place};
use super::{collect, files, kill};
use crate::context::PodRef;
use crate::cri::api::PodSandboxConfig;
use crate::cri::{CriError, observe};
use crate::status::{self, Reasons};
use crate::volume::{PodVolumes, VolumeError};

/// What a pass works on; it hands back what it changed.
pub struct Job {
    /// The pod.
    pub pod: PodRef,
    /// What was seen last.
    pub before: Observed,
    /// What probes decided.
    pub verdicts: ByContainer,
    /// Crash-loop back-offs.
    pub backoffs: Backoffs,
    /// Failed starts.
    pub reasons: Reasons,
    /// The pod is new to this kubelet or has changed: its volumes are brought up to date even if nothing is started.
    pub refresh: bool,
    /// Takes what is seen on the way.
    pub progress: mpsc::UnboundedSender<Observed>,
}

/// How a pass ended.
pub struct Done {
    /// What is there now.
    pub seen: Observed,
    /// When the runtime was looked at.
    pub looked: Timestamp,
    /// Crash-loop back-offs.
    pub backoffs: Backoffs,
    /// Failed starts.
    pub reasons: Reasons,
    /// Something is left to do.
    pub unfinished: Option<Unfinished>,
    /// The resources that the pod was given.
    pub actuated: Arc<PodResources>,
    /// Why it was not given others.
    pub resize_error: Option<String>,
}

/// What is left to do.
#[derive(Clone, Copy, Debug)]
pub struct Unfinished {
    /// Not before this; `None` for the task's own rhythm.
    pub retry: Option<Instant>,
    /// A volume or a reference of the environment is missing: a change there is worth another pass.
    pub waits_for_objects: bool,
}

/// The pass.
pub async fn sync(shared: &Shared, job: Job) -> Done {
    let mut pass = Pass {
        shared,
        pod: job.pod,
        seen: job.before,
        looked: Timestamp::now(),
        backoffs: job.backoffs,
        reasons: job.reasons,
        unfinished: None,
        resize_error: None,
        progress: job.progress,
    };
    if let Err(error) = pass.run(&job.verdicts, job.refresh).await {
        debug!(pod = pass.pod.full(), %error, "pass");
        pass.later(None, false);
    }
    Done {
        actuated: actuate::known(shared, &pass.pod),
        resize_error: pass.resize_error,
        seen: pass.seen,
        looked: pass.looked,
        backoffs: pass.backoffs,
        reasons: pass.reasons,
        unfinished: pass.unfinished,
    }
}

struct Pass<'a> {
    shared: &'a Shared,
    pod: PodRef,
    seen: Observed,
    looked: Timestamp,
    backoffs: Backoffs,
    reasons: Reasons,
    unfinished: Option<Unfinished>,
    resize_error: Option<String>,
    progress: mpsc::UnboundedSender<Observed>,
}

impl Pass<'_> {
    async fn run(&mut self, verdicts: &ByContainer, refresh: bool) -> Result<(), CriError> {
        self.look().await?;
        let _ = self.progress.send(self.seen.clone());
        let mut plan = plan::plan(&self.pod, &self.seen, verdicts);
        let actuated = actuate::known(self.shared, &self.pod);
        let resize = steps::compare(&self.pod, &actuated, &self.seen, &mut plan);
        if plan.is_empty() && resize.is_empty() {
            if refresh {
                // A resize that was cut short may have left the cgroup behind.
                if let Err(error) = self.shared.make_cgroup(&self.pod) {
                    debug!(pod = self.pod.full(), %error, "the pod's cgroup");
                }
                self.volumes().await;
            }
            return Ok(());
        }
        debug!(pod = self.pod.full(), ?plan, ?resize, "plan");
        let outcome = self.act(&plan, &resize).await;
        self.look().await?;
        collect::dead_containers(self.shared, &self.pod, &mut self.seen).await;
        outcome
    }

    async fn look(&mut self) -> Result<(), CriError> {
        self.looked = Timestamp::now();
        self.seen = observe::pod(&self.shared.node.cri, self.pod.uid(), &self.seen).await?;
        Ok(())
    }

    fn about(&self) -> About<'_> {
        About::pod(&self.shared.node.events, &self.pod)
    }

    fn later(&mut self, retry: Option<Instant>, waits_for_objects: bool) {
        let known = self.unfinished;
        let sooner = match (known.map(|u| u.retry), retry) {
            (Some(Some(a)), Some(b)) => Some(a.min(b)),
            (Some(None), _) => None,
            (_, b) => b,
        };
        let waits = waits_for_objects || known.is_some_and(|u| u.waits_for_objects);
        self.unfinished = Some(Unfinished {
            retry: sooner,
            waits_for_objects: waits,
        });
    }

    fn ip(&self) -> Option<IpAddr> {
        status::pod_ips(&self.seen, &self.pod, &self.shared.node.addresses.borrow())
            .first()
            .copied()
    }

    async fn act(&mut self, plan: &Plan, resize: &Resize) -> Result<(), CriError> {
        let shared = self.shared;
        match &plan.sandbox {
            SandboxPlan::Stop => {
                return kill::pod(shared, &self.pod, &self.seen, self.ip(), kill::USUAL).await;
            }
            SandboxPlan::Create { replaces: true, .. } => {
                self.about().normal(
                    "SandboxChanged",
                    "Pod sandbox changed, it will be killed and re-created.",
                );
                kill::pod(shared, &self.pod, &self.seen, self.ip(), kill::USUAL).await?;
                self.purge_init().await;
            }
            SandboxPlan::Create { .. } => {}
            SandboxPlan::Keep(_) => {
                self.kill(&plan.kill).await?;
                if !resize.is_empty()
                    && let Err(why) = actuate::actuate(shared, &self.pod, resize).await
                {
                    debug!(pod = self.pod.full(), why, "resize");
                    self.resize_error = Some(why);
                    self.later(None, false);
                }
            }
        }
        if plan.start.is_empty() && matches!(plan.sandbox, SandboxPlan::Keep(_)) {
            shared.volumes.keep(&self.pod);
            return Ok(());
        }
        if let Err(error) = files::make_pod_folders(&shared.node.paths, &self.pod) {
            self.about()
                .warning("Failed", format!("error making pod data directories: {error}"));
            self.later(None, false);
            return Ok(());
        }
        if let Err(error) = shared.make_cgroup(&self.pod) {
            self.about().warning(
                "FailedCreatePodContainer",
                format!("unable to ensure pod container exists: {error}"),
            );
            self.later(None, false);
            return Ok(());
        }
        let handler = match shared.handler(&self.pod).await {
            Ok(handler) => handler,
            Err(why) => {
                self.about().warning(
                    "FailedCreatePodSandBox",
                    format!("Failed to create pod sandbox: {why}"),
                );
                self.later(None, false);
                return Ok(());
            }
        };
        let attempt = match plan.sandbox {
            SandboxPlan::Create { attempt, .. } => attempt,
            _ => self.seen.sandboxes.first().map_or(0, |s| s.attempt),
        };
        let config = match shared.sandbox_config(&self.pod, attempt) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    self.about().warning("DNSConfigForming", warning);
                }
                config
            }
            Err(why) => {
                self.about().warning(
                    "FailedCreatePodSandBox",
                    format!("Failed to create pod sandbox: {why}"),
                );
                self.later(None, false);
                return Ok(());
            }
        };
        let _hurry = shared.calm.hurry();
        let begun = Instant::now();
        let Some((sandbox, volumes)) = self.ground(&plan.sandbox, &config, &handler).await else {
            return Ok(());
        };
        let grounded = begun.elapsed();
        let mut started = Vec::new();
        let ips = status::pod_ips(&self.seen, &self.pod, &shared.node.addresses.borrow());
        for which in &plan.start {
            let pod = Arc::clone(&self.pod);
            let Some(spec) = which.spec(&pod) else { continue };
            // A restart that somebody asked for does not wait.
            let asked = resize.restarts.iter().any(|name| **name == *spec.name);
            if !asked && self.in_back_off(*which, &spec.name, spec.image.as_deref().unwrap_or_default()) {
                if which.kind == Kind::Init && !is_sidecar(&spec) {
                    break;
                }
                continue;
            }
            let seen = self.seen.clone();
            let place = Place {
                pod: &pod,
                sandbox: &sandbox,
                config: &config,
                handler: &handler,
                ips: &ips,
                volumes: &volumes,
                seen: &seen,
            };
            let result = start::start(shared, place, *which, &spec).await;
            let made = |reason: &str| {
                matches!(
                    reason,
                    "CreateContainerError" | "RunContainerError" | "PostStartHookError"
                )
            };
            if result.as_ref().err().is_none_or(|failed| made(failed.reason)) {
                self.restarted(&spec.name, spec.image.as_deref().unwrap_or_default());
            }
            match result {
                Ok(id) => {
                    self.reasons.remove(&spec.name);
                    started.push(id);
                }
                Err(failed) => {
                    let waits = failed.reason == "CreateContainerConfigError";
                    self.reasons
                        .insert(spec.name.clone(), (failed.reason.into(), failed.message));
                    self.later(failed.retry, waits);
                    if which.kind == Kind::Init && !is_sidecar(&spec) {
                        break;
                    }
                }
            }
        }
        self.tell_started(&sandbox, &started).await;
        let (pod, took) = (self.pod.full(), begun.elapsed());
        debug!(pod, sandbox_and_volumes = ?grounded, ?took, "started {} containers", started.len());
        Ok(())
    }

    /// What containers stand on: the sandbox and the volumes. They are made side by side unless the volumes may take a while
    /// to appear.
    async fn ground(
        &mut self,
        plan: &SandboxPlan,
        config: &PodSandboxConfig,
        handler: &str,
    ) -> Option<(Arc<str>, Arc<PodVolumes>)> {
        let shared = self.shared;
        if let SandboxPlan::Keep(id) = plan {
            return Some((Arc::clone(id), self.volumes().await?));
        }
        if !shared.volumes.are_soon_there(&self.pod) {
            let volumes = self.volumes().await?;
            self.check_network()?;
            let made = make_sandbox(shared, config, handler).await;
            return Some((self.sandbox(made)?, volumes));
        }
        self.check_network()?;
        let pod = Arc::clone(&self.pod);
        let begun = Instant::now();
        let volumes = async {
            let outcome = shared.volumes.mount(&pod).await;
            debug!(pod = pod.full(), took = ?begun.elapsed(), "volumes");
            outcome
        };
        let (made, volumes) = tokio::join!(make_sandbox(shared, config, handler), volumes);
        let (sandbox, volumes) = (self.sandbox(made), self.mounted(volumes));
        Some((sandbox?, volumes?))
    }

    async fn volumes(&mut self) -> Option<Arc<PodVolumes>> {
        let outcome = self.shared.volumes.mount(&self.pod).await;
        self.mounted(outcome)
    }

    fn mounted(&mut self, outcome: Result<Arc<PodVolumes>, VolumeError>) -> Option<Arc<PodVolumes>> {
        match outcome {
            Ok(volumes) => Some(volumes),
            Err(error) => {
                let message = match &error {
                    VolumeError::Waiting { .. } => error.to_string(),
                    VolumeError::Mount(why) => format!("Unable to attach or mount volumes: {why}"),
                };
                self.about().warning("FailedMount", message);
                self.later(None, true);
                None
            }
        }
    }

    /// `None` while a pod that is not in the node's network has to wait for one.
    fn check_network(&mut self) -> Option<()> {
        let network = self.shared.node.runtime.borrow().network.clone();
        if let Some(Err(why)) = network
            && !self.pod.host_network()
        {
            let message = format!("network is not ready: container runtime network not ready: {why}");
            self.about().warning("NetworkNotReady", message);
            self.later(Some(Instant::now() + Duration::from_secs(2)), false);
            return None;
        }
        Some(())
    }

    fn sandbox(&mut self, made: Result<(String, Option<Sandbox>), CriError>) -> Option<Arc<str>> {
        match made {
            Ok((id, sandbox)) => {
                if let Some(sandbox) = sandbox {
                    self.seen.sandboxes.insert(0, sandbox);
                    let _ = self.progress.send(self.seen.clone());
                }
                Some(id.into())
            }
            Err(error) => {
                let code = error.code();
                self.about().warning(
                    "FailedCreatePodSandBox",
                    format!(
                        "Failed to create pod sandbox: rpc error: code = {code:?} desc = {}",
                        error.message()
                    ),
                );
                self.later(None, false);
                None
            }
        }
    }

    /// Tells about containers that run, ahead of the next look at all of the pod.
    async fn tell_started(&mut self, sandbox: &str, ids: &[String]) {
        let cri = &self.shared.node.cri;
        let read = join_all(ids.iter().map(|id| observe::read(cri, id, sandbox))).await;
        let running = read.into_iter().flatten().flatten();
        let before = self.seen.containers.len();
        self.seen
            .containers
            .extend(running.filter(|c| c.state == RunState::Running));
        if self.seen.containers.len() > before {
            self.seen.sort();
            let _ = self.progress.send(self.seen.clone());
        }
    }

    async fn kill(&mut self, kills: &[Kill]) -> Result<(), CriError> {
        let (shared, pod, seen, ip) = (self.shared, &self.pod, &self.seen, self.ip());
        let results = join_all(kills.iter().map(|k| async move {
            let running = seen.containers.iter().find(|c| c.id == k.id);
            let named = Container {
                id: Arc::clone(&k.id),
                name: Arc::clone(&k.name),
                ..Default::default()
            };
            let how = kill::How {
                grace: None,
                reason: k.reason,
                message: &k.message,
                hooks_done: false,
            };
            kill::container(
                shared,
                pod,
                running.unwrap_or(&named),
                ip,
                how,
                std::future::ready(()),
            )
            .await
        }))
        .await;
        results.into_iter().collect::<Result<Vec<()>, _>>()?;
        if !kills.is_empty() {
            self.look().await?;
        }
        Ok(())
    }

    /// Notes a restart, for the wait before the next one. Without an image or a configuration there was none.
    fn restarted(&mut self, name: &str, image: &str) {
        let ended = self
            .seen
            .containers
            .iter()
            .find(|c| *c.name == *name && c.state == RunState::Exited);
        if let Some(finished) = ended.map(|c| c.finished_at) {
            let hash = crate::cri::hash::container(name, image);
            self.backoffs.next(name, hash, finished, Timestamp::now());
        }
    }

    /// Whether a container has to wait before it is started again.
    fn in_back_off(&mut self, which: Start, name: &str, image: &str) -> bool {
        let ended = self
            .seen
            .containers
            .iter()
            .find(|c| *c.name == *name && c.state == RunState::Exited);
        let Some(finished) = ended.map(|c| c.finished_at) else {
            return false;
        };
        let hash = crate::cri::hash::container(name, image);
        let now = Timestamp::now();
        let Some((until, delay)) = self.backoffs.wait(name, hash, finished, now) else {
            return false;
        };
        let full = self.pod.full();
        let first = self
            .reasons
            .get(name)
            .is_none_or(|(reason, _)| reason != "CrashLoopBackOff");
        if first {
            self.about().container(which.kind, name).warning(
                "BackOff",
                format!("Back-off restarting failed container {name} in pod {full}"),
            );
        }
        let message = format!(
            "back-off {} restarting failed container={name} pod={full}",
            duration::format(delay)
        );
        self.reasons
            .insert(name.to_owned(), ("CrashLoopBackOff".into(), message));
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        self.later(Some(Instant::now() + left), false);
        true
    }

    /// A new sandbox starts initialization over: what is left of it goes.
    async fn purge_init(&mut self) {
        for container in &self.seen.containers {
            if self.pod.init().iter().any(|i| *i.name == *container.name)
                && let Err(error) = self.shared.node.cri.remove_container(&container.id).await
            {
                debug!(pod = self.pod.full(), container = %container.name, %error, "removing an init container");
            }
        }
    }
}

async fn make_sandbox(
    shared: &Shared,
    config: &PodSandboxConfig,
    handler: &str,
) -> Result<(String, Option<Sandbox>), CriError> {
    let cri = &shared.node.cri;
    let id = cri.run_sandbox(config.clone(), handler).await?;
    let status = cri.sandbox_status(&id).await?;
    Ok((id, status.map(|status| observe::sandbox(&status))))
}
