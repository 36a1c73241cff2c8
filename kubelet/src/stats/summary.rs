//! The answer of `/stats/summary` (`stats/v1alpha1`), for metrics-server and `kubectl top`: types, and how they are made
//! of what the runtime reports. Pure.

use k8s_openapi::jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::cri::api;
use crate::pod::registry::PodView;

/// A time that is written to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl Time {
    fn of_nanos(nanos: i64) -> Time {
        Time(Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&machinery::arith::time::seconds(self.0))
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub node: NodeStats,
    pub pods: Vec<PodStats>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    pub node_name: String,
    pub start_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rlimit: Option<RlimitStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_fs: Option<FsStats>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RlimitStats {
    pub time: Time,
    #[serde(rename = "maxpid", skip_serializing_if = "Option::is_none")]
    pub max_pid: Option<i64>,
    #[serde(rename = "curproc", skip_serializing_if = "Option::is_none")]
    pub running: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats {
    pub pod_ref: PodReference,
    pub start_time: Option<Time>,
    pub containers: Vec<ContainerStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkStats>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<FsStats>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    pub process_stats: Option<ProcessStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ProcessStats {
    pub process_count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodReference {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    pub name: String,
    pub start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
    /// For metrics: the runtime's id and image.
    #[serde(skip)]
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    pub time: Time,
    /// Billionths of a core, over the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_nano_cores: Option<u64>,
    /// Since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_core_nano_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    pub time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major_page_faults: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapStats {
    pub time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_usage_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsStats {
    pub time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_used: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStats {
    pub time: Time,
    #[serde(flatten)]
    pub default: InterfaceStats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceStats>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStats {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
}

type Value = Option<api::UInt64Value>;

#[allow(
    clippy::needless_pass_by_value,
    reason = "the generated type is a wrapped integer"
)]
fn value(value: &Value) -> Option<u64> {
    value.as_ref().map(|value| value.value)
}

impl From<&api::CpuUsage> for CpuStats {
    fn from(usage: &api::CpuUsage) -> Self {
        CpuStats {
            time: Time::of_nanos(usage.timestamp),
            usage_nano_cores: value(&usage.usage_nano_cores),
            usage_core_nano_seconds: value(&usage.usage_core_nano_seconds),
        }
    }
}

impl From<&api::MemoryUsage> for MemoryStats {
    fn from(usage: &api::MemoryUsage) -> Self {
        MemoryStats {
            time: Time::of_nanos(usage.timestamp),
            // Without a limit the runtime reports nothing left to use, or all there could ever be.
            available_bytes: value(&usage.available_bytes).filter(|left| *left > 0 && *left < 1 << 60),
            usage_bytes: value(&usage.usage_bytes),
            working_set_bytes: value(&usage.working_set_bytes),
            rss_bytes: value(&usage.rss_bytes),
            page_faults: value(&usage.page_faults),
            major_page_faults: value(&usage.major_page_faults),
        }
    }
}

impl From<&api::SwapUsage> for SwapStats {
    fn from(usage: &api::SwapUsage) -> Self {
        SwapStats {
            time: Time::of_nanos(usage.timestamp),
            swap_available_bytes: value(&usage.swap_available_bytes).filter(|left| *left < 1 << 60),
            swap_usage_bytes: value(&usage.swap_usage_bytes),
        }
    }
}

impl From<&api::NetworkUsage> for NetworkStats {
    fn from(usage: &api::NetworkUsage) -> Self {
        let interface = |usage: &api::NetworkInterfaceUsage| InterfaceStats {
            name: usage.name.clone(),
            rx_bytes: value(&usage.rx_bytes).unwrap_or(0),
            rx_errors: value(&usage.rx_errors).unwrap_or(0),
            tx_bytes: value(&usage.tx_bytes).unwrap_or(0),
            tx_errors: value(&usage.tx_errors).unwrap_or(0),
        };
        let default = usage
            .default_interface
            .as_ref()
            .map(interface)
            .unwrap_or_default();
        let mut interfaces: Vec<InterfaceStats> = usage.interfaces.iter().map(interface).collect();
        if interfaces.is_empty() && !default.name.is_empty() {
            interfaces.push(default.clone());
        }
        NetworkStats {
            time: Time::of_nanos(usage.timestamp),
            default,
            interfaces,
        }
    }
}

/// What a layer of `usage` takes of the file system that `whole` describes.
fn share(usage: &api::FilesystemUsage, whole: Option<&FsStats>) -> FsStats {
    FsStats {
        time: Time::of_nanos(usage.timestamp),
        available_bytes: whole.and_then(|fs| fs.available_bytes),
        capacity_bytes: whole.and_then(|fs| fs.capacity_bytes),
        used_bytes: value(&usage.used_bytes),
        inodes_free: whole.and_then(|fs| fs.inodes_free),
        inodes: whole.and_then(|fs| fs.inodes),
        inodes_used: value(&usage.inodes_used),
    }
}

/// The statistics of one pod; `None` if the runtime says too little to know whose they are.
///
/// `view` adds when the pod and its containers began, `image_fs` the file system that their layers are on.
pub fn pod(
    stats: &api::PodSandboxStats,
    view: Option<&PodView>,
    image_fs: Option<&FsStats>,
) -> Option<PodStats> {
    let metadata = stats.attributes.as_ref()?.metadata.as_ref()?;
    let linux = stats.linux.as_ref()?;
    let containers: Vec<ContainerStats> = linux
        .containers
        .iter()
        .filter_map(|stats| container(stats, view, image_fs))
        .collect();
    let layers = containers
        .iter()
        .filter_map(|container| container.rootfs.as_ref());
    let used: u64 = layers.clone().filter_map(|fs| fs.used_bytes).sum();
    let ephemeral_storage = layers.clone().next().map(|first| FsStats {
        used_bytes: Some(used),
        inodes_used: Some(layers.filter_map(|fs| fs.inodes_used).sum()),
        ..first.clone()
    });
    Some(PodStats {
        pod_ref: PodReference {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
        },
        start_time: view
            .and_then(|view| view.status.start_time.as_ref())
            .map(|time| Time(time.0)),
        cpu: linux.cpu.as_ref().map(CpuStats::from),
        memory: linux.memory.as_ref().map(MemoryStats::from),
        network: linux.network.as_ref().map(NetworkStats::from),
        ephemeral_storage,
        process_stats: linux
            .process
            .as_ref()
            .and_then(|process| value(&process.process_count))
            .map(|process_count| ProcessStats { process_count }),
        swap: containers
            .iter()
            .find_map(|container| container.swap.clone())
            .map(|swap| SwapStats {
                swap_usage_bytes: Some(
                    containers
                        .iter()
                        .filter_map(|container| container.swap.as_ref()?.swap_usage_bytes)
                        .sum(),
                ),
                ..swap
            }),
        containers,
    })
}

fn container(
    stats: &api::ContainerStats,
    view: Option<&PodView>,
    image_fs: Option<&FsStats>,
) -> Option<ContainerStats> {
    let attributes = stats.attributes.as_ref()?;
    let name = attributes.metadata.as_ref()?.name.clone();
    let start_time = view.and_then(|view| started(view, &name));
    Some(ContainerStats {
        start_time,
        cpu: stats.cpu.as_ref().map(CpuStats::from),
        memory: stats.memory.as_ref().map(MemoryStats::from),
        rootfs: stats.writable_layer.as_ref().map(|layer| share(layer, image_fs)),
        swap: stats.swap.as_ref().map(SwapStats::from),
        id: attributes.id.clone(),
        name,
    })
}

fn started(view: &PodView, container: &str) -> Option<Time> {
    let status = &view.status;
    let all = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let found = all
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.name == container)?;
    let running = found.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref().map(|time| Time(time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u64) -> Value {
        Some(api::UInt64Value { value })
    }

    pub(crate) fn stats() -> api::PodSandboxStats {
        let second = 1_000_000_000;
        api::PodSandboxStats {
            attributes: Some(api::PodSandboxAttributes {
                metadata: Some(api::PodSandboxMetadata {
                    name: "p".into(),
                    namespace: "ns".into(),
                    uid: "u".into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            linux: Some(api::LinuxPodSandboxStats {
                cpu: Some(api::CpuUsage {
                    timestamp: second,
                    usage_core_nano_seconds: number(5),
                    ..Default::default()
                }),
                containers: vec![api::ContainerStats {
                    attributes: Some(api::ContainerAttributes {
                        id: "id1".into(),
                        metadata: Some(api::ContainerMetadata {
                            name: "c".into(),
                            attempt: 0,
                        }),
                        ..Default::default()
                    }),
                    memory: Some(api::MemoryUsage {
                        timestamp: second,
                        working_set_bytes: number(7),
                        available_bytes: number(0),
                        ..Default::default()
                    }),
                    writable_layer: Some(api::FilesystemUsage {
                        timestamp: second,
                        used_bytes: number(9),
                        ..Default::default()
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            windows: None,
        }
    }

    #[test]
    fn a_pod_is_written_as_metrics_server_reads_it() {
        let fs = FsStats {
            time: Time(Timestamp::UNIX_EPOCH),
            available_bytes: Some(100),
            capacity_bytes: Some(200),
            used_bytes: Some(100),
            inodes_free: None,
            inodes: None,
            inodes_used: None,
        };
        let json = serde_json::to_value(pod(&stats(), None, Some(&fs)).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "podRef": {"name": "p", "namespace": "ns", "uid": "u"},
                "startTime": null,
                "cpu": {"time": "1970-01-01T00:00:01Z", "usageCoreNanoSeconds": 5},
                "ephemeral-storage": {"time": "1970-01-01T00:00:01Z", "availableBytes": 100, "capacityBytes": 200,
                                      "usedBytes": 9, "inodesUsed": 0},
                "containers": [{
                    "name": "c",
                    "startTime": null,
                    "memory": {"time": "1970-01-01T00:00:01Z", "workingSetBytes": 7},
                    "rootfs": {"time": "1970-01-01T00:00:01Z", "availableBytes": 100, "capacityBytes": 200, "usedBytes": 9},
                }],
            })
        );
        assert!(pod(&api::PodSandboxStats::default(), None, None).is_none());
    }
}
