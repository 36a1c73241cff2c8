//! Which set grows and which shrinks.

use super::revision::{self, DESIRED_REPLICAS, MAX_REPLICAS, count, set_sizes};
use super::work::{Set, Work};
use crate::api::Strategy;

impl Work<'_> {
    fn wanted(&self) -> i32 {
        self.deployment.spec.replicas
    }

    fn is_rolling(&self) -> bool {
        matches!(self.deployment.spec.strategy, Strategy::RollingUpdate { .. })
    }

    /// Sizes a set. Its annotations follow where the size changes, or where `force` asks for it.
    fn resize(&mut self, index: usize, replicas: i32, force: bool) -> bool {
        let (desired, max) = (self.wanted(), self.wanted() + self.fenceposts.surge);
        let Some(set) = self.sets.get_mut(index) else {
            return false;
        };
        let changed = set.replicas != replicas;
        if changed || force {
            set.replicas = replicas;
            set_sizes(set, desired, max);
        }
        changed
    }

    fn active(&self) -> Vec<usize> {
        (0..self.sets.len())
            .filter(|index| self.sets.get(*index).is_some_and(Set::is_active))
            .collect()
    }

    /// Whether the Deployment was resized since its sets were last sized.
    pub fn is_scaling(&self) -> bool {
        self.sets
            .iter()
            .filter(|set| set.is_active())
            .filter_map(|set| count(set, DESIRED_REPLICAS))
            .any(|desired| desired != self.wanted())
    }

    /// Fits the sets to a new size of the Deployment, in proportion during a rollout, without furthering the rollout.
    pub fn scale(&mut self) {
        let active = self.active();
        if active.len() <= 1 {
            let newest = || self.new.or_else(|| self.old().last().copied());
            if let Some(only) = active.first().copied().or_else(newest) {
                self.resize(only, self.wanted(), true);
            }
            return;
        }
        if self.new_set().is_some_and(|new| self.is_saturated(new)) {
            for index in self.old() {
                self.resize(index, 0, false);
            }
            return;
        }
        if self.is_rolling() {
            self.scale_proportionally(active);
        }
    }

    fn is_saturated(&self, set: &Set) -> bool {
        let wanted = self.wanted();
        set.replicas == wanted
            && set.status.available_replicas == wanted
            && count(set, DESIRED_REPLICAS) == Some(wanted)
    }

    fn scale_proportionally(&mut self, mut active: Vec<usize>) {
        let allowed = if self.wanted() > 0 {
            self.wanted() + self.fenceposts.surge
        } else {
            0
        };
        let to_add = allowed - self.replicas();
        // The largest first; among equals new ones grow first and old ones shrink first. Indices are in the order of age.
        let size = |work: &Self, index: usize| work.sets.get(index).map_or(0, |set| set.replicas);
        match to_add {
            0 => {}
            1.. => active.sort_by_key(|index| std::cmp::Reverse((size(self, *index), *index))),
            _ => active.sort_by_key(|index| (-size(self, *index), *index)),
        }
        let mut added = 0;
        let mut sizes = Vec::with_capacity(active.len());
        for index in active {
            let Some(set) = self.sets.get(index) else { continue };
            let share = self.proportion(set, to_add, added);
            added += share;
            sizes.push((index, set.replicas + share));
        }
        if let Some((_, largest)) = sizes.first_mut() {
            *largest = (*largest + to_add - added).max(0);
        }
        for (index, replicas) in sizes {
            self.resize(index, replicas, true);
        }
    }

    /// How much of what is to be added (or removed, below zero) one set takes.
    fn proportion(&self, set: &Set, to_add: i32, added: i32) -> i32 {
        let left = to_add - added;
        if set.replicas == 0 || to_add == 0 || left == 0 {
            return 0;
        }
        let fraction = self.fraction(set);
        if to_add > 0 {
            fraction.min(left)
        } else {
            fraction.max(left)
        }
    }

    fn fraction(&self, set: &Set) -> i32 {
        if self.wanted() == 0 {
            return -set.replicas;
        }
        let max = self.wanted() + self.fenceposts.surge;
        let before = count(set, MAX_REPLICAS)
            .filter(|before| *before != 0)
            .unwrap_or(self.deployment.status.replicas);
        if before == 0 {
            return 0;
        }
        let scaled = f64::from(set.replicas.wrapping_mul(max)) / f64::from(before);
        #[allow(clippy::cast_possible_truncation)] // sizes are far from the limits of f64 and saturate
        let rounded = (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32;
        rounded - set.replicas
    }

    /// How large the new set may be now, given all the others.
    pub fn new_size(&self, current: i32) -> i32 {
        if !self.is_rolling() {
            return self.wanted();
        }
        let room = self.wanted() + self.fenceposts.surge - self.replicas();
        if room <= 0 {
            current
        } else {
            current + room.min(self.wanted() - current)
        }
    }

    /// One step of a rolling update: the new set grows, or else old ones shrink. Whether anything changed.
    pub fn roll(&mut self) -> bool {
        let Some(index) = self.new else { return false };
        let current = self.sets.get(index).map_or(0, |set| set.replicas);
        let size = if current >= self.wanted() {
            self.wanted()
        } else {
            self.new_size(current)
        };
        self.resize(index, size, false) || self.shrink_old()
    }

    fn shrink_old(&mut self) -> bool {
        let Some(new) = self.new_set() else { return false };
        let new_unavailable = new.replicas - new.status.available_replicas;
        let old: Vec<_> = self
            .old()
            .into_iter()
            .filter(|index| self.sets.get(*index).is_some_and(Set::is_active))
            .collect();
        let min_available = self.wanted() - self.fenceposts.unavailable;
        // New pods that are not available yet must not make room for taking old ones away.
        let most = self.replicas() - min_available - new_unavailable;
        if old.is_empty() || most <= 0 {
            return false;
        }
        let cleaned = self.shrink(&old, most, |set| set.replicas - set.status.available_replicas);
        let spare = self.total_of(&old, |set| set.status.available_replicas)
            + self.new_set().map_or(0, |set| set.status.available_replicas)
            - min_available;
        let shrunk = if spare > 0 {
            self.shrink(&old, spare, |set| set.replicas)
        } else {
            0
        };
        cleaned + shrunk > 0
    }

    fn total_of(&self, sets: &[usize], of: impl Fn(&Set) -> i32) -> i32 {
        sets.iter()
            .filter_map(|index| self.sets.get(*index))
            .map(of)
            .sum()
    }

    /// Takes up to `most` pods from the sets, the oldest first, from each as many as `from` allows.
    fn shrink(&mut self, sets: &[usize], most: i32, from: impl Fn(&Set) -> i32) -> i32 {
        let mut taken = 0;
        for index in sets {
            let Some(set) = self.sets.get(*index) else {
                continue;
            };
            let count = from(set).min(most - taken);
            if set.replicas == 0 || count <= 0 {
                continue;
            }
            let replicas = set.replicas - count;
            self.resize(*index, replicas, false);
            taken += count;
        }
        taken
    }

    /// Takes all old pods away. Whether anything changed.
    pub fn stop_old(&mut self) -> bool {
        let mut changed = false;
        for index in self.old() {
            changed |= self.resize(index, 0, false);
        }
        changed
    }

    /// Sizes the new set of a Deployment that recreates.
    pub fn start_new(&mut self) {
        if let Some(index) = self.new {
            self.resize(index, self.wanted(), false);
        }
    }

    /// Old sets beyond the history that is kept, except those that still have pods.
    pub fn cleanup(&mut self) {
        let Some(limit) = self
            .deployment
            .spec
            .revision_history_limit
            .filter(|limit| *limit != i32::MAX)
        else {
            return;
        };
        let held = |work: &Self, index: usize| work.sets.get(index).and_then(|set| set.held.clone());
        let mut old: Vec<_> = self
            .old()
            .into_iter()
            .filter(|index| held(self, *index).is_some_and(|held| !held.metadata.is_deleting()))
            .collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        if excess == 0 {
            return;
        }
        // Sets whose annotation is no number keep their place by age.
        let number = |index: &usize| {
            self.sets
                .get(*index)
                .and_then(|set| revision::revision(&set.annotations))
        };
        old.sort_by(|a, b| match (number(a), number(b)) {
            (Some(x), Some(y)) => x.cmp(&y).then(a.cmp(b)),
            _ => a.cmp(b),
        });
        self.deletions = old
            .into_iter()
            .take(excess)
            .filter(|index| {
                held(self, *index).is_some_and(|held| {
                    held.status.replicas == 0
                        && held.spec.replicas == 0
                        && held.metadata.generation <= held.status.observed_generation
                })
            })
            .collect();
    }
}
