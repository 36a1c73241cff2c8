//! The pods that wait to be scheduled.
//!
//! ```text
//! add -> active -(pop)-> in flight -(bound)-> done
//!          ^ ^               | turned down or failed
//!          | |               v
//!          | back-off <- unschedulable <-(hint: this event may help)- events
//!          +-- also popped straight from back-off when nothing is active
//! ```
//!
//! Pure: time comes in as a [`Moment`]. An event that arrives while a pod is in flight is kept until the pod is done, so that
//! a pod that is turned down by what was true before the event is not left behind.

mod backoff;
mod heap;
mod inflight;
mod parked;
mod pod;

use std::sync::Arc;
use std::time::Duration;

use machinery::meta::Istr;

pub use backoff::Backoff;
use heap::PodHeap;
use inflight::InFlight;
use parked::Parked;
pub use pod::{Moment, Plugins, QueuedPod};

use crate::api::Pod;
use crate::cache::{Shape, Snapshot};
use crate::framework::{Change, ClusterEvent, Framework, Occurrence};

/// What the queue asks of the profiles.
pub trait Rules {
    /// Whether one pod comes before another in the active queue.
    fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool;
    /// The profile of a pod.
    fn profile(&self, pod: &Pod) -> Option<&Framework>;
    /// Whether plugins among those that `holds` picks want to hear of an event, in any profile.
    fn is_of_interest(&self, event: &ClusterEvent, holds: &dyn Fn(&'static str) -> bool) -> bool;
}

/// Where an event sends a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strategy {
    Stay,
    AfterBackoff,
    Immediately,
}

/// How many pods are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

/// The queue.
pub struct Queue {
    active: PodHeap,
    backoff: PodHeap,
    /// Pods that met errors back off apart: they are never popped before their time.
    error_backoff: PodHeap,
    unschedulable: Parked,
    in_flight: InFlight,
    bounds: Backoff,
    max_unschedulable: Duration,
    /// When pods that have waited for too long were last looked for.
    swept: Moment,
}

/// How often pods that have waited for too long are looked for.
const SWEEP: Duration = Duration::from_secs(30);

impl Queue {
    /// A queue with these bounds; pods are swept out of the unschedulable ones after `max_unschedulable`.
    pub fn new(bounds: Backoff, max_unschedulable: Duration) -> Self {
        Self {
            active: PodHeap::default(),
            backoff: PodHeap::default(),
            error_backoff: PodHeap::default(),
            unschedulable: Parked::default(),
            in_flight: InFlight::default(),
            bounds,
            max_unschedulable,
            swept: Moment::ZERO,
        }
    }

    /// A new pod.
    pub fn add(&mut self, pod: &Arc<Pod>, shape: &Arc<Shape>, rules: &impl Rules, now: Moment) {
        self.remove(pod.uid(), rules);
        self.enqueue(
            QueuedPod::new(pod.clone(), shape.clone(), now),
            Strategy::Immediately,
            rules,
            now,
        );
    }

    /// A pending pod changed.
    pub fn update(
        &mut self,
        pod: &Arc<Pod>,
        shape: &Arc<Shape>,
        occurrences: &[Occurrence],
        snapshot: &Snapshot,
        rules: &impl Rules,
        now: Moment,
    ) {
        let uid = pod.uid();
        if self.in_flight.contains(uid) {
            for occurrence in occurrences {
                self.in_flight.record(occurrence);
            }
            return;
        }
        let less = |one: &QueuedPod, other: &QueuedPod| rules.less(one, other);
        if let Some(mut queued) = self.active.remove(uid, less) {
            (queued.pod, queued.shape) = (pod.clone(), shape.clone());
            self.active.push(queued, less);
            return;
        }
        for heap in [&mut self.backoff, &mut self.error_backoff] {
            if let Some(mut queued) = heap.remove(uid, |one, other| by_backoff(one, other, rules)) {
                (queued.pod, queued.shape) = (pod.clone(), shape.clone());
                heap.push(queued, |one, other| by_backoff(one, other, rules));
                return;
            }
        }
        let Some(mut queued) = self.unschedulable.remove(uid) else {
            self.add(pod, shape, rules, now);
            return;
        };
        (queued.pod, queued.shape) = (pod.clone(), shape.clone());
        let strategies = occurrences
            .iter()
            .map(|occurrence| strategy(&queued, occurrence, snapshot, rules));
        match strategies.max().unwrap_or(Strategy::Stay) {
            Strategy::Stay => {
                self.unschedulable.insert(queued);
            }
            strategy => self.enqueue(queued, strategy, rules, now),
        }
    }

    /// A pod is gone, or was bound.
    pub fn remove(&mut self, uid: &str, rules: &impl Rules) {
        self.active.remove(uid, |one, other| rules.less(one, other));
        self.backoff
            .remove(uid, |one, other| by_backoff(one, other, rules));
        self.error_backoff
            .remove(uid, |one, other| by_backoff(one, other, rules));
        self.unschedulable.remove(uid);
    }

    /// The pod to schedule next, if there is one. It is in flight until [`Queue::done`] or [`Queue::give_back`].
    pub fn pop(&mut self, rules: &impl Rules) -> Option<QueuedPod> {
        let mut queued = match self.active.pop(|one, other| rules.less(one, other)) {
            Some(queued) => queued,
            None => self.backoff.pop(|one, other| by_backoff(one, other, rules))?,
        };
        queued.attempts += 1;
        self.in_flight.insert(queued.pod.uid());
        Some(queued)
    }

    /// The pod will not come back: it is past the point where events matter to it.
    pub fn done(&mut self, uid: &str) {
        self.in_flight.remove(uid);
    }

    /// The pod could not be scheduled; `queued.rejectors` and `queued.pending` say by whom, or nobody after an error.
    pub fn give_back(&mut self, mut queued: QueuedPod, snapshot: &Snapshot, rules: &impl Rules, now: Moment) {
        let uid = queued.pod.uid().clone();
        let events = self.in_flight.remove(&uid);
        if self.contains(&uid) {
            return;
        }
        let failed = queued.rejectors.is_empty() && queued.pending.is_empty();
        if failed {
            queued.errors += 1;
        } else {
            queued.turned_down += 1;
            queued.errors = 0;
        }
        queued.timestamp = now;
        queued.flushed = None;
        let decided = if failed {
            Strategy::AfterBackoff
        } else {
            events
                .iter()
                .map(|occurrence| strategy(&queued, occurrence, snapshot, rules))
                .max()
                .unwrap_or(Strategy::Stay)
        };
        match decided {
            Strategy::Stay => {
                self.unschedulable.insert(queued);
            }
            strategy => self.enqueue(queued, strategy, rules, now),
        }
    }

    /// Something happened: moves the pods that it may help. `only` leaves out pods for which it says no.
    pub fn happened(
        &mut self,
        occurrence: &Occurrence,
        snapshot: &Snapshot,
        rules: &impl Rules,
        now: Moment,
        only: impl Fn(&Pod) -> bool,
    ) {
        if !rules.is_of_interest(&occurrence.event, &|_| true) {
            return;
        }
        self.in_flight.record(occurrence);
        // Most events are about plugins that have turned nobody down.
        if !rules.is_of_interest(&occurrence.event, &|plugin| {
            self.unschedulable.has_rejected_by(plugin)
        }) {
            return;
        }
        let moving: Vec<(Istr, Strategy)> = self
            .unschedulable
            .iter()
            .filter(|(_, queued)| only(&queued.pod))
            .map(|(uid, queued)| (uid.clone(), strategy(queued, occurrence, snapshot, rules)))
            .filter(|(_, strategy)| *strategy != Strategy::Stay)
            .collect();
        for (uid, strategy) in moving {
            if let Some(queued) = self.unschedulable.remove(&uid) {
                self.enqueue(queued, strategy, rules, now);
            }
        }
    }

    /// Moves a pod to the active queue, whatever turned it down.
    pub fn activate(&mut self, uid: &str, rules: &impl Rules, now: Moment) {
        let order = |one: &QueuedPod, other: &QueuedPod| by_backoff(one, other, rules);
        let mut queued = self.unschedulable.remove(uid);
        queued = queued
            .or_else(|| self.backoff.remove(uid, order))
            .or_else(|| self.error_backoff.remove(uid, order));
        if let Some(queued) = queued {
            self.enqueue(queued, Strategy::Immediately, rules, now);
        } else if self.in_flight.contains(uid) {
            self.in_flight.record(&Occurrence {
                event: ClusterEvent::EVERYTHING,
                change: Change::Other,
            });
        }
    }

    /// Moves pods whose back-off is over, and those that have been unschedulable for too long.
    pub fn tick(&mut self, rules: &impl Rules, now: Moment) {
        for errors in [false, true] {
            let heap = if errors {
                &mut self.error_backoff
            } else {
                &mut self.backoff
            };
            let mut over = Vec::new();
            while heap
                .peek()
                .is_some_and(|queued| !self.bounds.holds(queued.backoff_until, now))
            {
                over.extend(heap.pop(|one, other| by_backoff(one, other, rules)));
            }
            for queued in over {
                self.enqueue(queued, Strategy::Immediately, rules, now);
            }
        }
        if now.saturating_sub(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let since = |queued: &QueuedPod| queued.flushed.unwrap_or_default().max(queued.timestamp);
        let late: Vec<Istr> = self
            .unschedulable
            .iter()
            .filter(|(_, queued)| now.saturating_sub(since(queued)) > self.max_unschedulable)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in late {
            if let Some(mut queued) = self.unschedulable.remove(&uid) {
                queued.flushed = Some(now);
                self.enqueue(queued, Strategy::AfterBackoff, rules, now);
            }
        }
    }

    /// When [`Queue::tick`] has something to do next; `None` while nothing waits.
    pub fn next_tick(&self, now: Moment) -> Option<Moment> {
        let heaps = [&self.backoff, &self.error_backoff];
        let backoff = heaps
            .iter()
            .filter_map(|heap| heap.peek())
            .map(|queued| self.bounds.ends(queued.backoff_until));
        let sweep = (!self.unschedulable.is_empty()).then(|| (self.swept + SWEEP).max(now));
        backoff.chain(sweep).min()
    }

    /// Whether [`Queue::pop`] would give a pod.
    pub fn is_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// Whether the pod waits here.
    pub fn contains(&self, uid: &str) -> bool {
        self.active.contains(uid)
            || self.backoff.contains(uid)
            || self.error_backoff.contains(uid)
            || self.unschedulable.contains(uid)
    }

    pub fn lengths(&self) -> Lengths {
        let gated = self
            .unschedulable
            .values()
            .filter(|queued| queued.gated_by.is_some())
            .count();
        Lengths {
            active: self.active.len(),
            backoff: self.backoff.len() + self.error_backoff.len(),
            unschedulable: self.unschedulable.len() - gated,
            gated,
        }
    }

    fn enqueue(&mut self, mut queued: QueuedPod, strategy: Strategy, rules: &impl Rules, now: Moment) {
        let verdict = rules
            .profile(&queued.pod)
            .map_or(Ok(()), |profile| profile.run_pre_enqueue(&queued.pod));
        if let Err(status) = verdict {
            queued.gated_by = Some(status.plugin);
            if !queued.rejectors.contains(&status.plugin) {
                queued.rejectors.push(status.plugin);
            }
            self.unschedulable.insert(queued);
            return;
        }
        queued.gated_by = None;
        let until = self.bounds.until(&queued);
        if strategy != Strategy::Immediately && self.bounds.holds(until, now) {
            queued.backoff_until = until;
            let failed = queued.rejectors.is_empty() && queued.pending.is_empty();
            let heap = if failed {
                &mut self.error_backoff
            } else {
                &mut self.backoff
            };
            heap.push(queued, |one, other| by_backoff(one, other, rules));
        } else {
            queued.first_active.get_or_insert(now);
            self.active.push(queued, |one, other| rules.less(one, other));
        }
    }
}

fn by_backoff(one: &QueuedPod, other: &QueuedPod, rules: &impl Rules) -> bool {
    match one.backoff_until.cmp(&other.backoff_until) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => rules.less(one, other),
    }
}

/// Where an event sends a pod: nowhere, unless a plugin that turned it down says that the event may help.
fn strategy(
    queued: &QueuedPod,
    occurrence: &Occurrence,
    snapshot: &Snapshot,
    rules: &impl Rules,
) -> Strategy {
    if queued.rejectors.is_empty() && queued.pending.is_empty()
        || occurrence.event == ClusterEvent::EVERYTHING
    {
        return Strategy::AfterBackoff;
    }
    let Some(profile) = rules.profile(&queued.pod) else {
        return Strategy::AfterBackoff;
    };
    let mut plugins = queued.rejectors.clone();
    plugins.extend(queued.pending.iter().copied());
    let queueing = profile.hinting(&queued.view(), &plugins, occurrence, snapshot);
    if queueing.iter().any(|plugin| queued.pending.contains(plugin)) {
        Strategy::Immediately
    } else if queueing.is_empty() {
        Strategy::Stay
    } else {
        Strategy::AfterBackoff
    }
}

#[cfg(test)]
mod tests;
