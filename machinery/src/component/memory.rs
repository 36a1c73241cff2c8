//! Keeps the process small: what a burst took is given back once there is nothing to do.
//!
//! Left alone, the C library keeps free memory below anything still in use, and gives each thread that finds the heap busy
//! a heap of its own. A component is a small program with a few short-lived helper threads: one heap is enough.
#![allow(unsafe_code)] // The one place in this crate: two calls of the C library that nothing safe wraps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Free memory is given back at most so often.
const EVERY_SECONDS: u64 = 5;

/// Asks for a single heap, for this process. Where the C library is another one, nothing happens.
pub fn one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes and keeps two integers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free memory back when the runtime has nothing to do.
#[derive(Debug)]
pub struct GiveBack {
    started: Instant,
    /// Seconds since the start.
    last: AtomicU64,
}

impl Default for GiveBack {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl GiveBack {
    /// To be called whenever there is nothing to do.
    pub fn idle(&self) {
        if self.is_due(self.started.elapsed().as_secs()) {
            give_back();
        }
    }

    fn is_due(&self, now: u64) -> bool {
        let due = now >= self.last.load(Ordering::Relaxed) + EVERY_SECONDS;
        if due {
            self.last.store(now, Ordering::Relaxed);
        }
        due
    }
}

fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes an integer; the C library locks its heap meanwhile.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_and_then_is_often_enough() {
        let memory = GiveBack::default();
        let due: Vec<u64> = (0..13).filter(|now| memory.is_due(*now)).collect();
        assert_eq!(due, [5, 10]);
    }
}
