//! The pod's status: made of all that is known, told to the API and to whoever serves it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{debug, warn};

use super::{Stage, Worker};
use crate::pod::events::About;
use crate::pod::observed::{Observed, RunState};
use crate::pod::publish;
use crate::pod::registry::{ContainerView, PodView};
use crate::pod::resize::{self, InProgress, steps};
use crate::pod::spec::PodExt as _;
use crate::pod::start::log_file;
use crate::pod::startup;
use crate::status::{self, Facts};

/// How long a status without urgency waits for the one after it: most pods are up by then.
const HOLD: Duration = Duration::from_secs(1);

impl Worker {
    /// The status out of all that is known.
    pub(super) fn compute(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.probes.follow(
            &self.pod,
            &self.seen,
            &self.status,
            shared.started,
            self.stage > Stage::Running,
        );
        let down = self.stage > Stage::Stopping;
        if self.looked.is_none() && self.seen == Observed::default() && !down && self.status.phase.is_some() {
            // Nothing was looked at yet: what the last kubelet said stands.
            if self.status.container_statuses.is_some() {
                return;
            }
        }
        self.judge_resize();
        let verdicts = self.probes.verdicts();
        let runtime = shared.runtime_name();
        let hosts = shared.node.addresses.borrow().clone();
        let facts = Facts {
            pod: &self.pod,
            seen: &self.seen,
            old: &self.status,
            reasons: &self.reasons,
            verdicts: &verdicts,
            host_ips: &hosts,
            runtime: &runtime,
            recursive_read_only: shared.recursive_read_only(&self.pod),
            in_force: &shared.pod_limits(&self.pod),
            cgroup2: shared.cgroups.is_v2(),
            resize: &self.resize,
            kubelet_started: shared.started,
            is_terminal: down,
        };
        let failed = self.failed.as_ref().filter(|_| down);
        let status = match self.failed.as_ref().filter(|_| self.rejected) {
            Some(verdict) => status::rejected(&self.pod, verdict),
            None if down => status::terminate(&self.pod, status::generate(&facts, failed)),
            None => status::generate(&facts, failed),
        };
        let status = status::settle(&self.pod, &self.status, status, Timestamp::now());
        if status != self.status {
            self.published = false;
        }
        self.status = status;
        self.register();
    }

    /// Whether a resize is under way, by what the last pass has left.
    fn judge_resize(&mut self) {
        let Some(actuated) = &self.actuated else { return };
        let in_progress = steps::is_in_progress(&self.pod, actuated, &self.seen);
        match self.resize.in_progress.take() {
            Some(known) if in_progress => self.resize.in_progress = Some(known),
            None if in_progress => {
                self.resize.in_progress = Some(InProgress {
                    generation: self.pod.metadata.generation.unwrap_or_default(),
                    error: None,
                });
            }
            Some(done) => {
                let words = resize::event("Pod resize completed", &self.pod, done.generation, "");
                About::pod(&self.shared.node.events, &self.pod).normal("ResizeCompleted", words);
            }
            None => {}
        }
    }

    /// The pass could not do all of a resize.
    pub(super) fn resize_failed(&mut self, why: String) {
        let Some(known) = self.resize.in_progress.as_mut() else {
            return;
        };
        if known.error.as_ref() != Some(&why) {
            let words = resize::event("Pod resize error", &self.pod, known.generation, &why);
            About::pod(&self.shared.node.events, &self.pod).warning("ResizeError", words);
            known.error = Some(why);
        }
    }

    /// For the server and the node's statistics.
    pub(super) fn register(&self) {
        let paths = &self.shared.node.paths;
        let folder = paths.pod_log(self.pod.namespace(), self.pod.name(), self.pod.uid());
        let mut containers: Vec<ContainerView> = Vec::new();
        for c in &self.seen.containers {
            let log = |attempt| log_file(&folder, &c.name, attempt);
            match containers.iter_mut().find(|v| v.name == c.name) {
                None => containers.push(ContainerView {
                    name: Arc::clone(&c.name),
                    id: Arc::clone(&c.id),
                    attempt: c.restart_count,
                    running: c.state == RunState::Running,
                    log_path: if c.log_path.is_empty() {
                        log(c.restart_count)
                    } else {
                        Arc::clone(&c.log_path)
                    },
                    previous: None,
                }),
                Some(view) if view.previous.is_none() => {
                    view.previous = Some((Arc::clone(&c.id), Arc::clone(&c.log_path)));
                }
                Some(_) => {}
            }
        }
        let view = PodView {
            pod: Arc::clone(&self.pod),
            status: Arc::new(self.status.clone()),
            sandbox: self.seen.active_sandbox().map(|s| Arc::clone(&s.id)),
            containers,
            is_static: self.pod.is_static(),
            terminated: self.stage > Stage::Stopping,
        };
        self.shared.node.pods.put(Arc::clone(&self.uid), Arc::new(view));
    }

    /// Writes the status if the API has another one.
    pub(super) fn publish(&mut self) {
        // Set again below if it still holds: the task wakes for it, and must not do so in vain for ever.
        let hold = self.hold.take();
        if self.published {
            return;
        }
        let Some(api) = &self.shared.node.api else {
            self.published = true;
            return;
        };
        if self.removed && !self.pod.is_static() {
            self.published = true;
            return;
        }
        if self.write_retry.is_some_and(|at| at > Instant::now()) {
            return;
        }
        // Before the first look at the runtime there is nothing new to say, but for a pod that nobody has spoken of.
        if self.looked.is_none()
            && self.seen == Observed::default()
            && self.status.container_statuses.is_some()
            && self.stage == Stage::Running
        {
            return;
        }
        if let Some(target) = publish::target(&self.pod, self.mirror.as_ref()) {
            let can_wait = self.stage <= Stage::Stopping
                && self
                    .publisher
                    .can_wait(&target, &self.status, self.pod.is_deleting());
            let now = Instant::now();
            let until = hold.unwrap_or(now + HOLD);
            if can_wait && now < until {
                self.hold = Some(until);
                return;
            }
            self.published = self.publisher.publish(api, &target, &self.status);
        }
    }

    pub(super) fn wrote(&mut self, result: Result<(), machinery::client::ApiError>) {
        match result {
            Ok(()) => {
                self.write_failures = 0;
                self.write_retry = None;
                self.published = false;
                if let (Some(appeared), Some(told)) = (self.appeared, self.publisher.told())
                    && startup::is_over(told)
                {
                    startup::told(&self.pod, told, appeared, self.shared.images.pulling(&self.uid));
                    self.appeared = None;
                }
            }
            Err(error) if error.is_not_found() || error.is_conflict() => {
                // Gone, or another pod of the name: the watch will tell. Nothing is left to be said.
                debug!(pod = self.pod.full(), %error, "status");
                self.published = true;
                self.write_retry = Some(Instant::now() + Duration::from_secs(1));
            }
            Err(error) => {
                warn!(pod = self.pod.full(), %error, "writing the pod's status: trying again");
                let delay = Duration::from_millis(500 << self.write_failures.min(5));
                self.write_failures += 1;
                self.write_retry = Some(Instant::now() + delay);
            }
        }
    }
}
