//! The resources of a container and a sandbox, for the runtime.

use k8s_openapi::api::core::v1 as core;

use super::api::{HugepageLimit, LinuxContainerResources};
use crate::pod::resources::{self, Amounts};
use crate::pod::spec::PodExt as _;

/// What the node brings.
#[derive(Clone, Debug, Default)]
pub struct NodeLimits {
    /// `cpuCFSQuota`.
    pub cfs_quota: bool,
    /// `cpuCFSQuotaPeriod`, µs.
    pub cfs_period: i64,
    /// Bytes of memory the machine has.
    pub memory: u64,
    /// The huge page sizes of the machine, bytes.
    pub hugepage_sizes: Vec<u64>,
    /// cgroup v2 (unified).
    pub cgroup2: bool,
    /// `singleProcessOOMKill` false: an OOM kills the whole container.
    pub oom_kills_group: bool,
}

/// Of a container.
#[must_use]
pub fn of_container(
    pod: &core::Pod,
    container: &core::Container,
    node: &NodeLimits,
) -> LinuxContainerResources {
    let (cpu, memory) = resources::limits(pod, container);
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let request = resources::of(requests, "cpu").map_or(cpu, |q| q.milli_value());
    let mut out = linux(request, cpu, memory, node);
    out.oom_score_adj = resources::oom_score_adj(pod, container, node.memory);
    let pods = pod.spec().resources.as_ref().and_then(|r| r.limits.as_ref());
    let own = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    out.hugepage_limits = node
        .hugepage_sizes
        .iter()
        .map(|size| {
            let asked = pods
                .into_iter()
                .chain(own)
                .flatten()
                .rfind(|(name, _)| page_size(name) == Some(*size));
            HugepageLimit {
                page_size: page_size_name(*size),
                limit: asked.map_or(0, |(_, text)| {
                    u64::try_from(resources::parse(text).value()).unwrap_or_default()
                }),
            }
        })
        .collect();
    if node.cgroup2 {
        out.unified.insert("memory.high".into(), "max".into());
    }
    out
}

/// Of the whole pod, for the sandbox: (resources without the overhead, the overhead).
#[must_use]
pub fn of_sandbox(pod: &core::Pod, node: &NodeLimits) -> (LinuxContainerResources, LinuxContainerResources) {
    let mut bare = pod.clone();
    if let Some(spec) = bare.spec.as_mut() {
        spec.overhead = None;
    }
    let (requests, limits) = (resources::pod_requests(&bare), resources::pod_limits(&bare));
    let millis = |list: &Amounts| {
        list.get("cpu")
            .map(machinery::arith::quantity::Quantity::milli_value)
    };
    let cpu = millis(&limits).unwrap_or_default();
    let memory = limits
        .get("memory")
        .map_or(0, machinery::arith::quantity::Quantity::value);
    let own = linux(millis(&requests).unwrap_or(cpu), cpu, memory, node);
    let overhead = pod
        .spec()
        .overhead
        .as_ref()
        .map_or_else(LinuxContainerResources::default, |o| {
            let cpu = resources::of(Some(o), "cpu").unwrap_or_default().milli_value();
            linux(
                cpu,
                cpu,
                resources::of(Some(o), "memory").unwrap_or_default().value(),
                node,
            )
        });
    (own, overhead)
}

fn linux(request_millis: i64, limit_millis: i64, memory: i64, node: &NodeLimits) -> LinuxContainerResources {
    let mut out = LinuxContainerResources {
        cpu_shares: i64::try_from(resources::shares(request_millis)).unwrap_or(i64::MAX),
        memory_limit_in_bytes: memory,
        ..Default::default()
    };
    if node.cfs_quota {
        out.cpu_period = node.cfs_period;
        out.cpu_quota = resources::quota(limit_millis, node.cfs_period);
    }
    if node.cgroup2 && node.oom_kills_group {
        out.unified.insert("memory.oom.group".into(), "1".into());
    }
    out
}

/// The page size in `hugepages-2Mi`, bytes.
#[must_use]
pub fn page_size(resource: &str) -> Option<u64> {
    let text = resource.strip_prefix("hugepages-")?;
    text.parse::<machinery::arith::quantity::Quantity>()
        .ok()
        .and_then(|q| u64::try_from(q.value()).ok())
}

/// A page size as cgroups name it: `2MB`, `1GB`, `64KB`.
#[must_use]
pub fn page_size_name(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{}GB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{}MB", b >> 20),
        b => format!("{}KB", b >> 10),
    }
}
