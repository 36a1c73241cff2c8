//! Upstream's scheduler metrics.

use std::sync::LazyLock;
use std::time::Instant;

use machinery::metrics::register;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::shared::Shared;
use crate::core::{Attempt, BindOrder};
use crate::queue::Moment;

type Labels = Vec<(&'static str, String)>;

struct Metrics {
    attempts: Family<Labels, Counter>,
    attempt_seconds: Family<Labels, Histogram>,
    algorithm_seconds: Histogram,
    pod_attempts: Histogram,
    pod_seconds: Family<Labels, Histogram>,
    preemption_attempts: Counter,
    preemption_victims: Histogram,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let milliseconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
    Metrics {
        attempts: register(
            "scheduler_schedule_attempts",
            "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem",
            Family::default(),
        ),
        attempt_seconds: register(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
            Family::new_with_constructor(milliseconds as fn() -> Histogram),
        ),
        algorithm_seconds: register(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Scheduling algorithm latency in seconds",
            milliseconds(),
        ),
        pod_attempts: register(
            "scheduler_pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod",
            Histogram::new(exponential_buckets(1.0, 2.0, 5)),
        ),
        pod_seconds: register(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts",
            Family::new_with_constructor(
                (|| Histogram::new(exponential_buckets(0.01, 2.0, 20))) as fn() -> Histogram,
            ),
        ),
        preemption_attempts: register(
            "scheduler_preemption_attempts",
            "Total preemption attempts in the cluster till now",
            Counter::default(),
        ),
        preemption_victims: register(
            "scheduler_preemption_victims",
            "Number of selected preemption victims",
            Histogram::new(exponential_buckets(1.0, 2.0, 7)),
        ),
    }
});

fn labels(result: &str, profile: &str) -> Labels {
    vec![("result", result.to_owned()), ("profile", profile.to_owned())]
}

/// An attempt has been decided.
pub fn attempted(attempt: &Attempt, started: Instant) {
    let metrics = &*METRICS;
    metrics.algorithm_seconds.observe(started.elapsed().as_secs_f64());
    if let Attempt::Refused(refusal) = attempt {
        let result = if refusal.unschedulable {
            "unschedulable"
        } else {
            "error"
        };
        let labels = labels(result, &refusal.profile);
        metrics.attempts.get_or_create(&labels).inc();
        metrics
            .attempt_seconds
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
        if !refusal.victims.is_empty() {
            metrics.preemption_attempts.inc();
            metrics.preemption_victims.observe(refusal.victims.len() as f64);
        }
    }
}

/// A pod has been bound.
pub fn bound(order: &BindOrder, started: Instant, now: Moment) {
    let metrics = &*METRICS;
    let labels = labels("scheduled", &order.queued.pod.body.scheduler_name);
    metrics.attempts.get_or_create(&labels).inc();
    metrics
        .attempt_seconds
        .get_or_create(&labels)
        .observe(started.elapsed().as_secs_f64());
    metrics.pod_attempts.observe(f64::from(order.queued.attempts));
    let attempts = if order.queued.attempts >= 15 {
        "15+".to_owned()
    } else {
        order.queued.attempts.to_string()
    };
    let since = order.queued.first_active.unwrap_or(order.queued.timestamp);
    metrics
        .pod_seconds
        .get_or_create(&vec![("attempts", attempts)])
        .observe(now.saturating_sub(since).as_secs_f64());
}

/// Shows the lengths of the queues and the size of the cache when they are asked for.
pub fn observe(shared: &Shared) {
    machinery::metrics::register_collector(Lengths(shared.clone()));
}

struct Lengths(Shared);

impl std::fmt::Debug for Lengths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lengths")
    }
}

impl Collector for Lengths {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (queue, cache) = {
            let core = self.0.lock();
            let snapshot = core.snapshot();
            (
                core.queue().lengths(),
                [("nodes", snapshot.rows().known()), ("pods", snapshot.pod_count())],
            )
        };
        let queues = [
            ("active", queue.active),
            ("backoff", queue.backoff),
            ("unschedulable", queue.unschedulable),
            ("gated", queue.gated),
        ];
        for (name, help, key, values) in [
            (
                "scheduler_pending_pods",
                "Number of pending pods, by the queue type",
                "queue",
                &queues[..],
            ),
            (
                "scheduler_cache_size",
                "Number of nodes, pods, and assumed (bound) pods in the scheduler cache",
                "type",
                &cache[..],
            ),
        ] {
            let family: Family<Labels, Gauge> = Family::default();
            for (value, count) in values {
                family
                    .get_or_create(&vec![(key, (*value).to_owned())])
                    .set(*count as i64);
            }
            let kind = ConstGauge::new(0i64).metric_type();
            family.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
