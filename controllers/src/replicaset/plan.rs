//! How many pods to create, and which to delete.

use super::rank;
use crate::api::{Pod, ReplicaSet};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The most pods that one sync creates or deletes; the next goes on where it ended.
pub const BURST: usize = 5_000;

/// What brings the number of pods to what is wanted.
#[derive(Debug)]
pub enum Scale {
    Nothing,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

/// Compares the ReplicaSet's active pods with what it wants. `related` are the pods of every ReplicaSet of the same owner,
/// asked for only where pods must be ranked.
pub fn scale(
    rs: &ReplicaSet,
    active: &[Arc<Pod>],
    related: impl FnOnce() -> Vec<Arc<Pod>>,
    now: Timestamp,
) -> Scale {
    let wanted = usize::try_from(rs.spec.replicas).unwrap_or(0);
    if active.len() < wanted {
        return Scale::Create((wanted - active.len()).min(BURST));
    }
    let excess = (active.len() - wanted).min(BURST);
    match excess {
        0 => Scale::Nothing,
        all if all == active.len() => Scale::Delete(active.to_vec()),
        some => {
            let mut pods = rank::by_deletion(active, &related(), now);
            pods.truncate(some);
            Scale::Delete(pods)
        }
    }
}

/// When the next pod that is ready becomes available, if any is on its way there.
pub fn next_available(pods: &[Arc<Pod>], min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    if min_ready_seconds <= 0 {
        return None;
    }
    let span = jiff::SignedDuration::from_secs(min_ready_seconds.into());
    pods.iter()
        .filter_map(|pod| pod.ready_since())
        .map(|since| (since.0 + span).duration_since(now))
        .filter(|left| left.is_positive())
        .min()
        .map(|left| left.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, replica_set};

    #[test]
    fn pods_are_created_or_deleted_up_to_what_is_wanted() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let pods: Vec<_> = (0..4)
            .map(|n| pod(&format!("p{n}")).ready_at(1000 + n).arc())
            .collect();
        let scale_to = |replicas| scale(&replica_set("rs", replicas), &pods, || pods.clone(), now);
        assert!(matches!(scale_to(4), Scale::Nothing));
        assert!(matches!(scale_to(6), Scale::Create(2)));
        assert!(matches!(scale_to(1_000_000), Scale::Create(BURST)));
        let Scale::Delete(gone) = scale_to(0) else {
            panic!()
        };
        assert_eq!(gone.len(), 4);
        let Scale::Delete(gone) = scale_to(3) else {
            panic!()
        };
        assert_eq!(gone.len(), 1);
    }

    #[test]
    fn the_next_check_is_when_the_first_pod_becomes_available() {
        let now = Timestamp::from_second(100).unwrap();
        let pods = [
            pod("a").ready_at(80).arc(),
            pod("b").ready_at(95).arc(),
            pod("c").arc(),
            pod("d").ready_at(99).arc(),
        ];
        assert_eq!(next_available(&pods, 10, now), Some(Duration::from_secs(5)));
        assert_eq!(next_available(&pods, 1, now), None);
        assert_eq!(next_available(&pods, 0, now), None);
    }
}
