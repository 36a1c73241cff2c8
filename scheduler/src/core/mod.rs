//! The scheduler as a state machine: watch events and answers in, decisions out. No client, no clock, no threads.
//!
//! ```text
//! node, pod, ... events -> Snapshot + Queue;  next(now) -> Attempt { bind this pod there | this pod does not fit, because }
//! the shell binds and reports; bound / failed -> Snapshot + Queue
//! ```

mod attempt;
mod events;

use std::sync::Arc;

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

pub use attempt::{Attempt, BindOrder, Nomination, Refusal};

use crate::api::Pod;
use crate::cache::Snapshot;
use crate::framework::{ClusterEvent, Framework, Reuse, Spin};
use crate::queue::{Backoff, Moment, Queue, QueuedPod, Rules};

/// A profile and what it has worked out.
struct Profile {
    framework: Arc<Framework>,
    reuse: Reuse,
}

/// The profiles as the queue sees them.
struct Profiles(Vec<Profile>);

impl Profiles {
    fn index(&self, scheduler_name: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|profile| profile.framework.name == scheduler_name)
    }
}

impl Rules for Profiles {
    fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool {
        self.0
            .first()
            .is_some_and(|profile| profile.framework.less(one, other))
    }

    fn profile(&self, pod: &Pod) -> Option<&Framework> {
        Some(&*self.0[self.index(&pod.body.scheduler_name)?].framework)
    }

    fn is_of_interest(&self, event: &ClusterEvent, holds: &dyn Fn(&'static str) -> bool) -> bool {
        self.0
            .iter()
            .any(|profile| profile.framework.is_of_interest(event, holds))
    }
}

/// The scheduler.
pub struct Scheduler {
    profiles: Profiles,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods without a node that are ours to schedule, as last seen.
    pending: FxHashMap<Istr, Arc<Pod>>,
    spin: Spin,
}

impl Scheduler {
    /// A scheduler of pods that ask for one of `frameworks`. `seed` decides between nodes that are equally good.
    pub fn new(
        frameworks: Vec<Arc<Framework>>,
        backoff: Backoff,
        max_unschedulable: std::time::Duration,
        seed: u64,
    ) -> Self {
        let profile = |framework| Profile {
            framework,
            reuse: Reuse::default(),
        };
        Self {
            profiles: Profiles(frameworks.into_iter().map(profile).collect()),
            snapshot: Snapshot::default(),
            queue: Queue::new(backoff, max_unschedulable),
            pending: FxHashMap::default(),
            spin: Spin::new(seed),
        }
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether [`Scheduler::next`] has a pod to work on.
    pub fn is_ready(&self) -> bool {
        self.queue.is_ready()
    }

    /// When [`Scheduler::tick`] has something to do.
    pub fn next_tick(&self, now: Moment) -> Option<Moment> {
        self.queue.next_tick(now)
    }

    /// Lets time pass: back-offs end.
    pub fn tick(&mut self, now: Moment) {
        self.queue.tick(&self.profiles, now);
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        self.profiles.index(&pod.body.scheduler_name).is_some()
    }
}

#[cfg(test)]
mod tests;
