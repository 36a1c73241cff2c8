//! How long pods take to start, under upstream's names (the field's pod startup latency SLI).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use machinery::metrics::register;
use prometheus_client::metrics::histogram::Histogram;
use tracing::debug;

use super::spec::PodExt as _;

struct Metrics {
    here: Histogram,
    total: Histogram,
    indicator: Histogram,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    here: register(
        "kubelet_pod_start_duration_seconds",
        "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
        buckets(),
    ),
    total: register(
        "kubelet_pod_start_total_duration_seconds",
        "Duration in seconds to start a pod since creation, including time to pull images and run init containers, \
         measured from pod creation timestamp to when all its containers are reported as started and observed via watch",
        buckets(),
    ),
    indicator: register(
        "kubelet_pod_start_sli_duration_seconds",
        "Duration in seconds to start a pod, excluding time to pull images and run init containers, measured from pod \
         creation timestamp to when all its containers are reported as started and observed via watch",
        buckets(),
    ),
});

fn buckets() -> Histogram {
    Histogram::new([
        0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0,
        360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
    ])
}

/// Whether a pod that is new here has its start before it.
#[must_use]
pub fn is_ahead(pod: &core::Pod) -> bool {
    !pod.is_static() && pod.status.as_ref().is_none_or(|s| s.start_time.is_none())
}

/// Whether every container was started.
#[must_use]
pub fn is_over(status: &core::PodStatus) -> bool {
    let runs = |c: &core::ContainerStatus| c.state.as_ref().is_some_and(|s| s.running.is_some());
    let mut containers = status.container_statuses.iter().flatten().peekable();
    containers.peek().is_some() && containers.all(runs)
}

/// The API server has just been told that the pod's containers run; the kubelet saw the pod first at `seen`.
pub fn told(pod: &core::Pod, status: &core::PodStatus, seen: Instant, pulling: Duration) {
    let here = seen.elapsed();
    METRICS.here.observe(here.as_secs_f64());
    let Some(created) = pod.metadata.creation_timestamp.as_ref() else {
        return;
    };
    let total = Timestamp::now().duration_since(created.0).as_secs_f64().max(0.0);
    let without = (total - pulling.as_secs_f64() - initializing(status)).max(0.0);
    debug!(
        pod = pod.full(),
        ?here,
        total,
        without_pulls_and_init = without,
        "pod started"
    );
    METRICS.total.observe(total);
    if !is_stateful(pod) {
        METRICS.indicator.observe(without);
    }
}

/// Seconds that init containers ran.
fn initializing(status: &core::PodStatus) -> f64 {
    let ended = status
        .init_container_statuses
        .iter()
        .flatten()
        .filter_map(|c| c.state.as_ref()?.terminated.as_ref());
    ended
        .filter_map(|t| Some(t.finished_at.as_ref()?.0.duration_since(t.started_at.as_ref()?.0)))
        .map(|ran| ran.as_secs_f64())
        .sum()
}

/// Has a volume that is more than a view of API objects or scratch space.
fn is_stateful(pod: &core::Pod) -> bool {
    pod.spec().volumes.iter().flatten().any(|v| {
        v.secret.is_none()
            && v.config_map.is_none()
            && v.downward_api.is_none()
            && v.empty_dir.is_none()
            && v.projected.is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(value: Value) -> core::PodStatus {
        serde_json::from_value(value).unwrap()
    }

    fn container(state: Value) -> Value {
        json!({ "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state })
    }

    #[test]
    fn a_start_is_over_when_every_container_runs() {
        let running = || container(json!({ "running": {} }));
        let waiting = || container(json!({ "waiting": {} }));
        for (containers, want) in [
            (json!([]), false),
            (json!([running()]), true),
            (json!([running(), waiting()]), false),
        ] {
            assert_eq!(is_over(&status(json!({ "containerStatuses": containers }))), want);
        }
    }

    #[test]
    fn the_time_of_init_containers_is_known() {
        let ran = container(json!({ "terminated": {
            "exitCode": 0, "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:04Z",
        } }));
        let two = status(json!({ "initContainerStatuses": [ran.clone(), ran] }));
        assert!((initializing(&two) - 6.0).abs() < 1e-9);
    }
}
