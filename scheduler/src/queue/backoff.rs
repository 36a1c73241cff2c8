//! How long a pod that could not be scheduled stays back.

use std::time::Duration;

use super::pod::{Moment, QueuedPod};

/// Pods whose back-off ends within the same window come out together, in the active queue's order.
const WINDOW: Duration = Duration::from_secs(1);

/// The bounds of the back-off.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub initial: Duration,
    /// Zero switches back-off off.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// When the pod's back-off ends, at the start of its window.
    pub fn until(&self, pod: &QueuedPod) -> Moment {
        let failures = if pod.errors > 0 {
            pod.errors
        } else {
            pod.turned_down
        };
        if failures == 0 || self.max.is_zero() {
            return Moment::ZERO;
        }
        let doubled = 1u32
            .checked_shl(failures - 1)
            .and_then(|factor| self.initial.checked_mul(factor));
        align(pod.timestamp + doubled.map_or(self.max, |wait| wait.min(self.max)))
    }

    /// Whether a back-off that ends at `until` is still on. The window that `now` is in belongs to it.
    pub fn holds(&self, until: Moment, now: Moment) -> bool {
        !until.is_zero() && until >= align(now)
    }

    /// When pods that back off until `until` may come out.
    pub fn ends(&self, until: Moment) -> Moment {
        until + WINDOW
    }
}

fn align(moment: Moment) -> Moment {
    Moment::from_secs(moment.as_secs() / WINDOW.as_secs() * WINDOW.as_secs())
}
