//! How long a test is likely to take: as long as it did, else what is known of the long ones.

use std::collections::BTreeMap;

/// Seconds of tests that wait for something by the clock.
const LONG: &[(&str, f64)] = &[
    (
        "validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0",
        305.0,
    ),
    ("CronJob should not schedule jobs when suspended", 300.0),
    ("issue 500 podspec updates", 280.0),
    ("should *not* be restarted with a exec", 245.0),
    ("should *not* be restarted with a tcp", 245.0),
    ("should *not* be restarted with a /healthz", 245.0),
    ("should *not* be restarted with a GRPC", 245.0),
    ("should have monotonically increasing restart count", 200.0),
    ("a failing subpath expansion can be modified", 155.0),
    ("should perform canary updates and phased rolling updates", 120.0),
    ("CronJob should replace jobs when ReplaceConcurrent", 115.0),
    ("should support continue listing from the last key", 100.0),
    ("ConfigMap updates should be reflected in volume", 90.0),
    ("configMap updates should be reflected in volume", 90.0),
    ("optional updates should be reflected in volume", 90.0),
    (
        "should perform rolling updates and roll backs of template modifications",
        80.0,
    ),
    (
        "pod failure policy to ignore failure matching on DisruptionTarget",
        80.0,
    ),
    ("Scaling should happen in predictable order", 80.0),
    ("CronJob should schedule multiple jobs concurrently", 70.0),
    ("should be restarted with a GRPC liveness probe", 70.0),
    (
        "no conflict between pods with same hostPort but different hostIP",
        70.0,
    ),
    ("CustomResourceDefinition Watch", 65.0),
    ("readiness probe that fails should never be ready", 60.0),
    ("Burst scaling should run to completion", 55.0),
    ("execute all indexes despite some failing", 55.0),
    ("should be restarted with a exec", 55.0),
];
const USUAL: f64 = 14.0;

/// Seconds that `name` is likely to take.
pub(super) fn seconds(name: &str, measured: &BTreeMap<String, f64>) -> f64 {
    measured.get(name).copied().unwrap_or_else(|| {
        LONG.iter()
            .find(|(part, _)| name.contains(part))
            .map_or(USUAL, |(_, seconds)| *seconds)
    })
}

/// Seconds until tests of these lengths, and those that have so much left, are through on `processes` processes.
pub(super) fn left(
    waiting: impl Iterator<Item = f64>,
    running: impl Iterator<Item = f64>,
    processes: usize,
) -> f64 {
    let (mut sum, mut longest) = (0.0, 0.0_f64);
    for seconds in waiting.chain(running) {
        sum += seconds;
        longest = longest.max(seconds);
    }
    #[allow(clippy::cast_precision_loss)] // A handful.
    let share = sum / processes.max(1) as f64;
    share.max(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_counts_more_than_what_is_known() {
        let name = "[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]";
        assert!((seconds(name, &BTreeMap::new()) - 300.0).abs() < 1e-9);
        assert!((seconds(name, &BTreeMap::from([(name.to_owned(), 9.0)])) - 9.0).abs() < 1e-9);
        assert!((seconds("another", &BTreeMap::new()) - USUAL).abs() < 1e-9);
    }

    #[test]
    fn the_time_to_go_is_no_shorter_than_the_longest_test() {
        for (waiting, running, processes, want) in [
            (vec![10.0, 10.0], vec![], 2, 10.0),
            (vec![10.0, 10.0, 10.0], vec![30.0], 2, 30.0),
            (vec![10.0; 8], vec![], 2, 40.0),
            (vec![], vec![], 2, 0.0),
        ] {
            let got = left(waiting.into_iter(), running.into_iter(), processes);
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
    }
}
