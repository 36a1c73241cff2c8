//! The core, as the watches, the loop and the binding tasks share it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::core::Scheduler;
use crate::queue::Moment;

/// The core behind a lock, and a bell for the loop.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    scheduler: Mutex<Scheduler>,
    bell: Notify,
    start: Instant,
}

impl Shared {
    pub fn new(scheduler: Scheduler) -> Self {
        Self(Arc::new(Inner {
            scheduler: Mutex::new(scheduler),
            bell: Notify::new(),
            start: Instant::now(),
        }))
    }

    /// The core. Never hold it across a wait.
    pub fn lock(&self) -> MutexGuard<'_, Scheduler> {
        self.0.scheduler.lock()
    }

    /// The time, as the core counts it.
    pub fn now(&self) -> Moment {
        // One second ahead, since a back-off that ends at zero is none.
        self.0.start.elapsed() + Moment::from_secs(1)
    }

    /// When a moment comes.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.0.start + moment.saturating_sub(Moment::from_secs(1))
    }

    /// Tells the loop that there may be something to do.
    pub fn ring(&self) {
        self.0.bell.notify_one();
    }

    /// Waits for the bell; a ring while nobody waited counts.
    pub async fn rung(&self) {
        self.0.bell.notified().await;
    }
}
