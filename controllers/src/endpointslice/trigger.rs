//! When the change that a slice shows came about: what programming latency is measured from.

use crate::api::{Pod, Service};
use jiff::Timestamp;
use machinery::meta::{Istr, ObjectKey};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The annotation on slices and Endpoints.
pub const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

#[derive(Default)]
struct Seen {
    service: Option<Timestamp>,
    pods: FxHashMap<Istr, Timestamp>,
}

/// What was seen of each Service before.
#[derive(Default)]
pub struct Triggers(Mutex<FxHashMap<ObjectKey, Seen>>);

impl Triggers {
    /// The earliest change since the last call: of a pod's readiness or of the Service. A Service seen for the first time counts from
    /// its creation.
    pub fn since_last(&self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let created = service.metadata.creation_timestamp.map(|time| time.0);
        let ready: FxHashMap<_, _> = pods
            .iter()
            .filter_map(|pod| {
                Some((
                    pod.metadata.name.clone(),
                    pod.condition("Ready")?.last_transition_time?.0,
                ))
            })
            .collect();
        let mut all = self.0.lock();
        let key = service.metadata.key();
        let Some(seen) = all.get_mut(&key) else {
            all.insert(
                key,
                Seen {
                    service: created,
                    pods: ready,
                },
            );
            return created;
        };
        let pods = ready
            .iter()
            .filter(|(name, at)| seen.pods.get(*name).is_none_or(|before| *at > before))
            .map(|(_, at)| *at);
        let service = created.filter(|at| seen.service.is_none_or(|before| *at > before));
        let earliest = pods.chain(service).min();
        *seen = Seen {
            service: created,
            pods: ready,
        };
        earliest
    }

    pub fn forget(&self, service: &ObjectKey) {
        self.0.lock().remove(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, service};

    #[test]
    fn the_earliest_new_change_counts() {
        let triggers = Triggers::default();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let web = service("web", |_| {});
        assert_eq!(
            triggers.since_last(&web, &[pod("a").ready_at(200).arc()]),
            at(100),
            "creation of the Service"
        );
        assert_eq!(triggers.since_last(&web, &[pod("a").ready_at(200).arc()]), None);
        let changed = [
            pod("a").ready_at(200).arc(),
            pod("b").ready_at(300).arc(),
            pod("c").ready_at(250).arc(),
        ];
        assert_eq!(triggers.since_last(&web, &changed), at(250));
        assert_eq!(triggers.since_last(&web, &changed[..1]), None);
    }
}
