//! A pod that waits, and what is remembered of its attempts.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::api::Pod;
use crate::cache::Shape;
use crate::framework::PodView;

/// A point in time, as the time since the program started.
pub type Moment = Duration;

/// Names of plugins.
pub type Plugins = SmallVec<[&'static str; 2]>;

/// A pending pod with its history.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    pub pod: Arc<Pod>,
    pub shape: Arc<Shape>,
    /// When it was added, or came back from its last attempt.
    pub timestamp: Moment,
    /// When it first entered the active queue.
    pub first_active: Option<Moment>,
    pub attempts: u32,
    /// How often it was turned down.
    pub turned_down: u32,
    /// How many errors it met since it was last turned down.
    pub errors: u32,
    /// Which plugins turned it down last time. None after an error.
    pub rejectors: Plugins,
    /// For which plugins it waits.
    pub pending: Plugins,
    /// The plugin that keeps it out of the active queue.
    pub gated_by: Option<&'static str>,
    /// Until when it backs off; set when it enters the back-off queue.
    pub backoff_until: Moment,
    /// When the sweep of pods that have waited for too long last took it.
    pub flushed: Option<Moment>,
}

impl QueuedPod {
    pub fn new(pod: Arc<Pod>, shape: Arc<Shape>, now: Moment) -> Self {
        Self {
            pod,
            shape,
            timestamp: now,
            first_active: None,
            attempts: 0,
            turned_down: 0,
            errors: 0,
            rejectors: Plugins::new(),
            pending: Plugins::new(),
            gated_by: None,
            backoff_until: Moment::ZERO,
            flushed: None,
        }
    }

    pub fn view(&self) -> PodView<'_> {
        PodView {
            pod: &self.pod,
            shape: &self.shape,
        }
    }
}
