//! The status of a DaemonSet.

use super::placement::Verdict;
use super::plan::{Observed, oldest_first};
use crate::api::DaemonSetStatus;

/// What the status is to be. `processed`: whether this generation's spec has been acted on.
pub fn status(seen: &Observed<'_>, processed: bool) -> DaemonSetStatus {
    let held = &seen.set.status;
    let mut status = DaemonSetStatus {
        observed_generation: held.observed_generation,
        collision_count: held.collision_count,
        conditions: held.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    if processed {
        status.observed_generation = seen.set.metadata.generation;
    }
    for node in seen.nodes {
        let pods = seen.pods.get(&node.metadata.name).filter(|pods| !pods.is_empty());
        if seen.placement.on(node) != Verdict::Run {
            status.number_misscheduled += i32::from(pods.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pods) = pods else { continue };
        let mut pods = pods.clone();
        oldest_first(&mut pods);
        let Some(pod) = pods.first() else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.is_ready());
        status.number_available += i32::from(seen.is_available(pod));
        status.updated_number_scheduled += i32::from(seen.is_updated(pod));
    }
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status
}
