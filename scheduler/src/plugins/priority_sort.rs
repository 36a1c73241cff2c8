//! PrioritySort: higher priority first, then whoever waits longer.

use crate::framework::Plugin;
use crate::framework::plugin::QueueSort;
use crate::queue::QueuedPod;

pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }
    fn as_queue_sort(&self) -> Option<&dyn QueueSort> {
        Some(self)
    }
}

impl QueueSort for PrioritySort {
    fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool {
        (other.pod.priority(), one.timestamp) < (one.pod.priority(), other.timestamp)
    }
}
