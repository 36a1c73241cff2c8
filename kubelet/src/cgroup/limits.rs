//! What is written into a pod's cgroup: pure.

use k8s_openapi::api::core::v1 as core;

use crate::cri::limits::{page_size, page_size_name};
use crate::pod::resources::{self, Qos};
use crate::pod::spec::PodExt as _;

/// Limits of a cgroup; what is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU shares (v1's unit, translated for v2).
    pub shares: Option<u64>,
    /// CFS quota and period, µs; a quota of 0 or less is none.
    pub quota: Option<(i64, i64)>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Processes.
    pub pids: Option<i64>,
    /// Huge pages: (`2MB`, bytes).
    pub hugepages: Vec<(String, u64)>,
}

/// A pod's. `quota_period`: `cpuCFSQuotaPeriod` in µs, or `None` with quotas off. `sizes`: the machine's huge page sizes.
#[must_use]
pub fn of_pod(pod: &core::Pod, quota_period: Option<i64>, pids: Option<i64>, sizes: &[u64]) -> Limits {
    let (requests, limits) = (resources::pod_requests(pod), resources::pod_limits(pod));
    let millis = |list: &resources::Amounts| {
        list.get("cpu")
            .map_or(0, machinery::arith::quantity::Quantity::milli_value)
    };
    let memory = limits
        .get("memory")
        .map_or(0, machinery::arith::quantity::Quantity::value);
    let declared = |name: &str| {
        let pods = pod.spec().resources.as_ref().and_then(|r| r.limits.as_ref());
        resources::of(pods, name).is_some_and(|q| !q.is_zero())
            || pod.init().iter().chain(pod.app()).all(|c| {
                resources::of(c.resources.as_ref().and_then(|r| r.limits.as_ref()), name)
                    .is_some_and(|q| !q.is_zero())
            })
    };
    let quota = match quota_period {
        Some(period) => (resources::quota(millis(&limits), period), period),
        None => (-1, 100_000),
    };
    let (shares, quota, memory) = match Qos::of(pod) {
        Qos::Guaranteed => (resources::shares(millis(&requests)), Some(quota), Some(memory)),
        Qos::Burstable => (
            resources::shares(millis(&requests)),
            declared("cpu").then_some(quota),
            declared("memory").then_some(memory),
        ),
        Qos::BestEffort => (2, None, None),
    };
    let hugepages = sizes
        .iter()
        .map(|size| {
            let asked = requests
                .iter()
                .find(|(name, _)| page_size(name) == Some(*size))
                .map_or(0, |(_, q)| q.value());
            (page_size_name(*size), u64::try_from(asked).unwrap_or_default())
        })
        .collect();
    Limits {
        shares: Some(shares),
        quota,
        memory,
        pids: pids.filter(|p| *p > 0),
        hugepages,
    }
}

/// cgroup v2's weight for v1's shares: the curve through (2, 1), (1024, 100) and (262144, 10000).
#[must_use]
pub fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let l = (shares as f64).log2();
            10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_meet_the_fixed_points() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 100, 10_000));
    }
}
