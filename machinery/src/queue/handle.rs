//! The queue as its users see it.

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Metrics;
use super::metrics::{AtWork, Gauges};
use super::state::State;

/// A queue of items to work on. Cheap to clone; all clones are one queue.
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue {
            shared: self.shared.clone(),
        }
    }
}

struct Shared<T> {
    name: String,
    epoch: Instant,
    state: Mutex<State<T>>,
    /// The one that waits: for an item, or for the next delayed one to be due. The others wait for their turn.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
    drained: Notify,
    gauges: Gauges,
}

impl<T: Eq + Hash + Clone + Send> AtWork for Shared<T> {
    fn at_work(&self) -> (Duration, Duration) {
        self.state.lock().at_work(self.epoch.elapsed())
    }
}

impl<T: Eq + Hash + Clone + Send + 'static> Queue<T> {
    /// An empty queue; `name` is its label in the metrics (upstream's name of the controller).
    pub fn new(name: &str) -> Self {
        Self::with_metrics(name, Metrics::global())
    }

    /// As [`new`](Self::new), counted in `metrics`.
    pub fn with_metrics(name: &str, metrics: &Metrics) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            epoch: Instant::now(),
            state: Mutex::new(State::new()),
            turn: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            drained: Notify::new(),
            gauges: metrics.gauges(name),
        });
        metrics.watch(name, Arc::downgrade(&(shared.clone() as Arc<dyn AtWork>)));
        Queue { shared }
    }

    /// The same queue with another back-off of items that fail: `first`, twice as much each time, at most `longest`.
    #[must_use]
    pub fn with_backoff(self, first: Duration, longest: Duration) -> Self {
        self.shared.state.lock().backoff = (first, longest);
        self
    }

    fn now(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Puts an item into line, unless it is there already. While it is at work, it goes into line when that is done.
    pub fn add(&self, item: T) {
        let added = {
            let mut state = self.shared.state.lock();
            let added = state.add(item, self.now());
            self.shared.gauges.depth(state.in_line());
            added
        };
        if added {
            self.shared.gauges.added(1);
            self.shared.changed.notify_one();
        }
    }

    /// Puts an item into line after `delay`. Of several delays of one item the earliest counts.
    pub fn add_after(&self, item: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(item);
        }
        let sooner = self.shared.state.lock().add_at(item, self.now() + delay);
        if sooner {
            self.shared.changed.notify_one();
        }
    }

    /// Puts an item that failed into line after its back-off: 5 ms at first, twice as much each time, at most 1000 s, unless
    /// [`with_backoff`](Self::with_backoff) says otherwise.
    pub fn add_rate_limited(&self, item: T) {
        let delay = self.shared.state.lock().back_off(&item);
        self.shared.gauges.retried();
        self.add_after(item, delay);
    }

    /// The item did well: its next failure starts from the shortest back-off.
    pub fn forget(&self, item: &T) {
        self.shared.state.lock().forget(item);
    }

    /// How often the item failed since it was last forgotten.
    pub fn num_requeues(&self, item: &T) -> u32 {
        self.shared.state.lock().failures(item)
    }

    /// How many items are in line, the delayed ones and those at work not counted.
    pub fn len(&self) -> usize {
        self.shared.state.lock().in_line()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for an item; `None` once the queue is shut down and its line is empty. Work on the item lasts until it is dropped.
    pub async fn get(&self) -> Option<Item<T>> {
        let shared = &*self.shared;
        let _turn = shared.turn.lock().await;
        loop {
            let (taken, next, closed) = {
                let now = self.now();
                let mut state = shared.state.lock();
                let (added, next) = state.advance(now);
                shared.gauges.added(added as u64);
                let taken = state
                    .take(now)
                    .map(|(item, since)| (item, now.saturating_sub(since)));
                shared.gauges.depth(state.in_line());
                (taken, next, state.closed)
            };
            if let Some((item, waited)) = taken {
                shared.gauges.taken(waited);
                return Some(Item {
                    queue: self.clone(),
                    item,
                });
            }
            if closed {
                return None;
            }
            match next {
                None => shared.changed.notified().await,
                Some(due) => {
                    tokio::select! {
                        () = shared.changed.notified() => {}
                        () = tokio::time::sleep_until(shared.epoch + due) => {}
                    }
                }
            }
        }
    }

    /// Takes nothing more in. What is in line is still handed out; what was delayed is dropped.
    pub fn shutdown(&self) {
        self.shared.state.lock().close();
        self.shared.changed.notify_one();
        self.shared.drained.notify_waiters();
    }

    /// As [`shutdown`](Self::shutdown), and waits until all work is done.
    pub async fn shutdown_with_drain(&self) {
        self.shutdown();
        loop {
            let drained = self.shared.drained.notified();
            if self.shared.state.lock().drained() {
                return;
            }
            drained.await;
        }
    }

    /// Whether the queue was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.shared.state.lock().closed
    }

    fn done(&self, item: &T) {
        let (took, again, drained) = {
            let now = self.now();
            let mut state = self.shared.state.lock();
            let (took, again) = state.done(item, now);
            self.shared.gauges.depth(state.in_line());
            (took, again, state.closed && state.drained())
        };
        self.shared.gauges.worked(took);
        if again {
            self.shared.changed.notify_one();
        }
        if drained {
            self.shared.drained.notify_waiters();
        }
    }
}

/// An item at work; the work is done when it is dropped.
pub struct Item<T: Eq + Hash + Clone + Send + 'static> {
    queue: Queue<T>,
    item: T,
}

impl<T: Eq + Hash + Clone + Send + 'static> Deref for Item<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: Eq + Hash + Clone + Send + Debug + 'static> Debug for Item<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.fmt(f)
    }
}

impl<T: Eq + Hash + Clone + Send + 'static> Drop for Item<T> {
    fn drop(&mut self) {
        self.queue.done(&self.item);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
