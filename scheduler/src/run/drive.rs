//! The loop: one attempt after the other, while binds are in flight.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::metrics;
use super::report::Reporter;
use super::shared::Shared;
use crate::bind;
use crate::core::{Attempt, BindOrder, Refusal};
use crate::framework::plugin::{Permission, Placement};
use crate::framework::{Framework, Status};

/// How many binds and status writes may be on their way. Further pods wait in the queue, where they cost least.
const IN_FLIGHT: usize = 128;
/// After so many attempts in a row others get a turn: answers come in, and watch events.
const BURST: usize = 16;

struct Driver {
    shared: Shared,
    frameworks: Vec<Arc<Framework>>,
    reporter: Arc<Reporter>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Schedules until `leading` ends; then waits for what is in flight.
pub async fn run(
    shared: Shared,
    frameworks: Vec<Arc<Framework>>,
    reporter: Reporter,
    leading: CancellationToken,
) {
    let driver = Arc::new(Driver {
        shared,
        frameworks,
        reporter: Arc::new(reporter),
        permits: Arc::new(Semaphore::new(IN_FLIGHT)),
        tasks: TaskTracker::new(),
    });
    leading.run_until_cancelled(driver.work()).await;
    driver.tasks.close();
    driver.tasks.wait().await;
}

impl Driver {
    async fn work(self: &Arc<Self>) {
        loop {
            for _ in 0..BURST {
                // Closed never: it lives as long as the driver.
                let Ok(permit) = self.permits.clone().acquire_owned().await else {
                    return;
                };
                let started = Instant::now();
                let attempt = {
                    let now = self.shared.now();
                    let mut core = self.shared.lock();
                    core.tick(now);
                    core.next(now)
                };
                let Some(attempt) = attempt else {
                    drop(permit);
                    self.idle().await;
                    break;
                };
                metrics::attempted(&attempt, started);
                let this = self.clone();
                match attempt {
                    Attempt::Nothing => {}
                    attempt => {
                        self.tasks.spawn(async move {
                            this.carry_out(attempt, started).await;
                            drop(permit);
                        });
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for something to do.
    async fn idle(&self) {
        let now = self.shared.now();
        let tick = self.shared.lock().next_tick(now);
        match tick {
            Some(tick) => {
                let _ = tokio::time::timeout_at(self.shared.instant(tick).into(), self.shared.rung()).await;
            }
            None => self.shared.rung().await,
        }
    }

    async fn carry_out(&self, attempt: Attempt, started: Instant) {
        match attempt {
            Attempt::Bind(order) => self.bind(*order, started).await,
            Attempt::Refused(refusal) => self.refused(&refusal).await,
            Attempt::Deleting(pod) => self.reporter.deleting(&pod),
            Attempt::Nothing => {}
        }
    }

    async fn refused(&self, refusal: &Refusal) {
        for pod in &refusal.displaced {
            self.reporter.displaced(pod).await;
        }
        for victim in &refusal.victims {
            if !self.reporter.evict(&refusal.pod, victim).await {
                self.shared.lock().spared(victim.uid());
            }
        }
        self.reporter.refused(refusal).await;
    }

    async fn bind(&self, order: BindOrder, started: Instant) {
        let placement = Placement {
            pod: order.queued.pod.clone(),
            node: order.node.clone(),
        };
        let framework = &self.frameworks[order.profile];
        let outcome = match order.permission {
            Permission::Granted => bind::bind(framework, &placement).await,
            Permission::Wait(wait) => {
                // Nobody can allow a pod yet, so the wait always ends in a refusal.
                tokio::time::sleep(wait).await;
                Err(Status::unschedulable(format!(
                    "pod was not allowed to be bound within {wait:?}"
                )))
            }
        };
        match outcome {
            Ok(()) => {
                metrics::bound(&order, started, self.shared.now());
                debug!(pod = %order.queued.pod.meta.key(), node = %order.node, "bound");
                self.reporter.bound(&placement);
            }
            Err(status) => {
                let now = self.shared.now();
                let attempt = self.shared.lock().not_bound(order, &status, now);
                self.shared.ring();
                if let Attempt::Refused(refusal) = attempt {
                    self.refused(&refusal).await;
                }
            }
        }
    }
}
