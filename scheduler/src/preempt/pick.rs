//! Which candidate does the least harm.

use std::cmp::Reverse;

use super::dry_run::Candidate;

/// Fewest broken budgets, then the least important most important victim, then the least sum of priorities, then the fewest
/// victims, then the most important victims that have run the shortest.
pub fn least_harm(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| {
        let victims = &candidate.victims;
        let highest = victims.first().map_or(i32::MIN, |pod| pod.priority());
        // Shifted so that all are positive: a few victims of negative priority are less than many.
        let sum: i64 = victims
            .iter()
            .map(|pod| i64::from(pod.priority()) + i64::from(i32::MAX) + 1)
            .sum();
        let of_highest = victims.iter().filter(|pod| pod.priority() == highest);
        let earliest = of_highest
            .map(|pod| pod.start_time.unwrap_or(i64::MAX))
            .min()
            .unwrap_or(i64::MAX);
        (
            candidate.violations,
            highest,
            sum,
            victims.len(),
            Reverse(earliest),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::{Pod, PodBody};
    use crate::cache::RowId;

    fn victim(priority: i32, start: i64) -> Arc<Pod> {
        let body = PodBody {
            priority,
            ..PodBody::default()
        }
        .share();
        Arc::new(Pod {
            body,
            start_time: Some(start),
            ..Pod::default()
        })
    }

    #[test]
    fn the_criteria_go_in_order() {
        let candidate = |row, violations, victims: &[(i32, i64)]| Candidate {
            row: RowId(row),
            violations,
            victims: victims
                .iter()
                .map(|(priority, start)| victim(*priority, *start))
                .collect(),
        };
        for (name, candidates, want) in [
            (
                "budgets",
                vec![candidate(0, 1, &[(1, 1)]), candidate(1, 0, &[(9, 1), (9, 1)])],
                1,
            ),
            (
                "highest priority",
                vec![candidate(0, 0, &[(5, 1)]), candidate(1, 0, &[(4, 1), (4, 1)])],
                1,
            ),
            (
                "sum of priorities",
                vec![
                    candidate(0, 0, &[(5, 1), (3, 1)]),
                    candidate(1, 0, &[(5, 1), (2, 1)]),
                ],
                1,
            ),
            (
                "fewest",
                vec![candidate(0, 0, &[(5, 1), (-5, 1)]), candidate(1, 0, &[(5, 1)])],
                1,
            ),
            (
                "latest start",
                vec![candidate(0, 0, &[(5, 1)]), candidate(1, 0, &[(5, 2)])],
                1,
            ),
        ] {
            assert_eq!(
                least_harm(candidates).map(|picked| picked.row),
                Some(RowId(want)),
                "{name}"
            );
        }
        assert!(least_harm(Vec::new()).is_none());
    }
}
