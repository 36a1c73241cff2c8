//! How often the runtime was called and how long that took, under upstream's names: where a slow pod's time went.

use std::sync::LazyLock;
use std::time::Duration;

use machinery::metrics::register;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

type Labels = [(&'static str, &'static str); 1];

struct Metrics {
    operations: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    operations: register(
        "kubelet_runtime_operations",
        "Cumulative number of runtime operations by operation type.",
        Family::default(),
    ),
    errors: register(
        "kubelet_runtime_operations_errors",
        "Cumulative number of runtime operation errors by operation type.",
        Family::default(),
    ),
    durations: register(
        "kubelet_runtime_operations_duration_seconds",
        "Duration in seconds of runtime operations. Broken down by operation type.",
        Family::new_with_constructor(buckets as fn() -> Histogram),
    ),
});

/// 5 ms to 745 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.5, 14))
}

/// A call has been answered.
pub(super) fn called(method: &'static str, took: Duration, failed: bool) {
    let labels = [("operation_type", operation(method))];
    METRICS.operations.get_or_create(&labels).inc();
    METRICS
        .durations
        .get_or_create(&labels)
        .observe(took.as_secs_f64());
    if failed {
        METRICS.errors.get_or_create(&labels).inc();
    }
}

/// As upstream names a method.
fn operation(method: &'static str) -> &'static str {
    match method {
        "list_pod_sandbox" => "list_podsandbox",
        "pod_sandbox_status" => "podsandbox_status",
        "run_pod_sandbox" => "run_podsandbox",
        "stop_pod_sandbox" => "stop_podsandbox",
        "remove_pod_sandbox" => "remove_podsandbox",
        "update_container_resources" => "update_container",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_under_upstreams_names() {
        called("run_pod_sandbox", Duration::from_millis(30), true);
        let text = machinery::metrics::encode();
        for line in [
            r#"kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1"#,
            r#"kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1"#,
            r#"kubelet_runtime_operations_duration_seconds_count{operation_type="run_podsandbox"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
