//! Events that happened while pods were being scheduled.

use std::collections::{BTreeMap, VecDeque};

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use crate::framework::Occurrence;

/// Pods in flight and the events since the first of them took off.
#[derive(Default)]
pub struct InFlight {
    since: FxHashMap<Istr, u64>,
    starts: BTreeMap<u64, u32>,
    events: VecDeque<Occurrence>,
    /// The number of the first event that is kept.
    first: u64,
}

impl InFlight {
    pub fn contains(&self, uid: &str) -> bool {
        self.since.contains_key(uid)
    }

    pub fn insert(&mut self, uid: &Istr) {
        let now = self.first + self.events.len() as u64;
        if self.since.insert(uid.clone(), now).is_none() {
            *self.starts.entry(now).or_default() += 1;
        }
    }

    /// Keeps an event for the pods that are in flight, if there are any.
    pub fn record(&mut self, occurrence: &Occurrence) {
        if !self.since.is_empty() {
            self.events.push_back(occurrence.clone());
        }
    }

    /// Takes a pod out; the events that happened since it took off.
    pub fn remove(&mut self, uid: &str) -> Vec<Occurrence> {
        let Some(start) = self.since.remove(uid) else {
            return Vec::new();
        };
        let seen = self
            .events
            .iter()
            .skip((start - self.first) as usize)
            .cloned()
            .collect();
        if let Some(count) = self.starts.get_mut(&start) {
            *count -= 1;
            if *count == 0 {
                self.starts.remove(&start);
            }
        }
        let oldest = self
            .starts
            .keys()
            .next()
            .copied()
            .unwrap_or(self.first + self.events.len() as u64);
        self.events.drain(..(oldest - self.first) as usize);
        self.first = oldest;
        seen
    }
}
