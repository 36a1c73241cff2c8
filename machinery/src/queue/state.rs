//! The queue's state. A pure core: time is given as an offset from any fixed instant.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

/// Back-off of a failing item: 5 ms, doubled with each failure, up to 1000 s.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(5);
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// The place of a delayed item in the heap: when it is due, and in which order it came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(Duration, u64);

pub(super) struct State<T> {
    /// In line, in order.
    line: VecDeque<(T, Duration)>,
    /// In line, or to go back into line when their work is done.
    dirty: FxHashSet<T>,
    /// At work, since when.
    at_work: FxHashMap<T, Duration>,
    heap: BinaryHeap<Reverse<(Due, Slot)>>,
    /// What is in the heap, by its slot; an item that moved leaves a dead slot behind.
    slots: FxHashMap<Slot, T>,
    waiting: FxHashMap<T, (Duration, Slot)>,
    next_slot: u64,
    failures: FxHashMap<T, u32>,
    /// The first back-off, and the longest.
    pub(super) backoff: (Duration, Duration),
    pub(super) closed: bool,
}

type Slot = u64;

impl<T: Eq + Hash + Clone> State<T> {
    pub(super) fn new() -> Self {
        State {
            line: VecDeque::new(),
            dirty: FxHashSet::default(),
            at_work: FxHashMap::default(),
            heap: BinaryHeap::new(),
            slots: FxHashMap::default(),
            waiting: FxHashMap::default(),
            next_slot: 0,
            failures: FxHashMap::default(),
            backoff: (BACKOFF_MIN, BACKOFF_MAX),
            closed: false,
        }
    }

    /// Puts an item into line; returns whether it was not there yet.
    pub(super) fn add(&mut self, item: T, now: Duration) -> bool {
        if self.closed || !self.dirty.insert(item.clone()) {
            return false;
        }
        if !self.at_work.contains_key(&item) {
            self.line.push_back((item, now));
        }
        true
    }

    /// Puts an item into line at `due`, or earlier if it is already due earlier; returns whether that changed anything.
    pub(super) fn add_at(&mut self, item: T, due: Duration) -> bool {
        if self.closed {
            return false;
        }
        if let Some((held, slot)) = self.waiting.get(&item) {
            if *held <= due {
                return false;
            }
            self.slots.remove(slot);
        }
        self.next_slot += 1;
        let slot = self.next_slot;
        self.slots.insert(slot, item.clone());
        self.waiting.insert(item, (due, slot));
        self.heap.push(Reverse((Due(due, slot), slot)));
        true
    }

    /// Moves what is due into line; returns how many items that added, and when the next one is due.
    pub(super) fn advance(&mut self, now: Duration) -> (usize, Option<Duration>) {
        let mut added = 0;
        while let Some(Reverse((Due(due, _), slot))) = self.heap.peek() {
            let (due, slot) = (*due, *slot);
            if self.slots.contains_key(&slot) && due > now {
                return (added, Some(due));
            }
            self.heap.pop();
            if let Some(item) = self.slots.remove(&slot) {
                self.waiting.remove(&item);
                added += usize::from(self.add(item, now));
            }
        }
        (added, None)
    }

    /// Takes the first item out of line, and since when it was there.
    pub(super) fn take(&mut self, now: Duration) -> Option<(T, Duration)> {
        let (item, since) = self.line.pop_front()?;
        self.dirty.remove(&item);
        self.at_work.insert(item.clone(), now);
        Some((item, since))
    }

    /// Work on `item` ended; returns how long it took and whether the item went back into line.
    pub(super) fn done(&mut self, item: &T, now: Duration) -> (Duration, bool) {
        let started = self.at_work.remove(item).unwrap_or(now);
        let again = self.dirty.contains(item);
        if again {
            self.line.push_back((item.clone(), now));
        }
        (now.saturating_sub(started), again)
    }

    /// Counts a failure of `item`; returns how long it has to wait.
    pub(super) fn back_off(&mut self, item: &T) -> Duration {
        let failures = self.failures.entry(item.clone()).or_insert(0);
        let (first, longest) = self.backoff;
        let wait = first.saturating_mul(1u32 << (*failures).min(30)).min(longest);
        *failures = failures.saturating_add(1);
        wait
    }

    pub(super) fn forget(&mut self, item: &T) {
        self.failures.remove(item);
        if self.failures.is_empty() && self.failures.capacity() > 64 {
            self.failures.shrink_to_fit();
        }
    }

    pub(super) fn failures(&self, item: &T) -> u32 {
        self.failures.get(item).copied().unwrap_or(0)
    }

    pub(super) fn in_line(&self) -> usize {
        self.line.len()
    }

    /// Nothing is at work, and nothing will be.
    pub(super) fn drained(&self) -> bool {
        self.at_work.is_empty() && self.line.is_empty()
    }

    /// Takes nothing more in, and drops what was delayed.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.heap.clear();
        self.slots.clear();
        self.waiting.clear();
    }

    /// How long all items at work have been so, together, and the longest one.
    pub(super) fn at_work(&self, now: Duration) -> (Duration, Duration) {
        self.at_work
            .values()
            .fold((Duration::ZERO, Duration::ZERO), |(sum, longest), since| {
                let took = now.saturating_sub(*since);
                (sum + took, longest.max(took))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_item_is_in_line_once() {
        let mut state = State::new();
        assert!(state.add("a", MS));
        assert!(!state.add("a", MS));
        assert_eq!(state.in_line(), 1);
    }

    #[test]
    fn an_item_added_at_work_goes_back_into_line_when_done() {
        let mut state = State::new();
        state.add("a", MS);
        let (item, _) = state.take(MS).unwrap();
        assert!(state.add("a", MS));
        assert_eq!(state.take(MS), None);
        assert_eq!(state.done(&item, 5 * MS), (4 * MS, true));
        assert!(state.take(MS).is_some());
        assert!(!state.done(&item, 5 * MS).1);
        assert_eq!(state.take(MS), None);
    }

    #[test]
    fn the_earlier_of_two_delays_counts() {
        let mut state = State::new();
        assert!(state.add_at("a", 50 * MS));
        assert!(state.add_at("a", 20 * MS));
        assert!(!state.add_at("a", 90 * MS));
        assert_eq!(state.advance(19 * MS), (0, Some(20 * MS)));
        assert_eq!(state.advance(20 * MS), (1, None));
        assert_eq!(state.advance(99 * MS), (0, None));
    }

    #[test]
    fn failures_back_off_from_5_ms_to_1000_s() {
        let mut state: State<&str> = State::new();
        let waits: Vec<_> = (0..20).map(|_| state.back_off(&"a").as_millis()).collect();
        assert_eq!(waits[..4], [5, 10, 20, 40]);
        assert_eq!(waits[17..], [655_360, 1_000_000, 1_000_000]);
        assert_eq!(state.failures(&"a"), 20);
        state.forget(&"a");
        assert_eq!(state.back_off(&"a"), 5 * MS);
    }

    #[test]
    fn a_closed_queue_finishes_its_line_and_takes_nothing_in() {
        let mut state = State::new();
        state.add("a", MS);
        state.add_at("b", MS);
        state.close();
        assert!(!state.add("c", MS));
        assert_eq!(state.advance(9 * MS), (0, None));
        let (a, _) = state.take(MS).unwrap();
        assert!(!state.drained());
        state.done(&a, MS);
        assert!(state.drained());
    }

    proptest! {
        /// No item is ever at work twice, and whatever was added is taken after its last add.
        #[test]
        fn nothing_is_lost_and_nothing_runs_twice(steps in prop::collection::vec((0u8..4, 0u8..5), 1..300)) {
            let mut state = State::new();
            let mut running: Vec<u8> = Vec::new();
            let mut owed = FxHashSet::default();
            let mut now = Duration::ZERO;
            for (step, item) in steps {
                now += MS;
                match step {
                    0 => { state.add(item, now); owed.insert(item); }
                    1 => { state.add_at(item, now + MS * u32::from(item)); owed.insert(item); }
                    2 => {
                        state.advance(now);
                        if let Some((item, _)) = state.take(now) {
                            prop_assert!(!running.contains(&item));
                            running.push(item);
                            if !state.waiting.contains_key(&item) { owed.remove(&item); }
                        }
                    }
                    _ => if let Some(item) = running.pop() { state.done(&item, now); },
                }
            }
            now += MS * 100;
            state.advance(now);
            while let Some(item) = running.pop() { state.done(&item, now); }
            while let Some((item, _)) = state.take(now) { owed.remove(&item); state.done(&item, now); }
            prop_assert!(owed.is_empty());
            prop_assert!(state.drained() && state.dirty.is_empty() && state.waiting.is_empty());
        }
    }
}
