//! Asks the runtime and the kernel, and puts the summary together.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;

use super::machine;
use super::summary::{
    CpuStats, FsStats, MemoryStats, NetworkStats, NodeStats, RlimitStats, RuntimeStats, Summary, SwapStats,
    Time, pod,
};
use crate::context::Node;
use crate::cri::CriError;
use crate::cri::api::{ImageFsInfoRequest, ListContainersRequest, ListPodSandboxStatsRequest};

/// Statistics of the node and its pods.
#[derive(Default)]
pub struct Stats {
    /// When the node's CPU time was last read, and what it was: two readings make a rate.
    last: Mutex<Option<(Timestamp, u64)>>,
}

impl Stats {
    /// Everything, as of now; only CPU and memory if that is all that is wanted.
    ///
    /// # Errors
    /// If the runtime does not answer.
    pub async fn summary(&self, node: &Node, only_cpu_and_memory: bool) -> Result<Summary, CriError> {
        let answer = node
            .cri
            .service()
            .list_pod_sandbox_stats(ListPodSandboxStatsRequest { filter: None })
            .await
            .map_err(node.cri.error("ListPodSandboxStats"))?;
        let image_fs = if only_cpu_and_memory {
            None
        } else {
            image_fs(node).await
        };
        let pods = answer.into_inner().stats;
        let pods = pods
            .iter()
            .filter_map(|stats| {
                let uid = &stats.attributes.as_ref()?.metadata.as_ref()?.uid;
                let mut pod = pod(stats, node.pods.by_uid(uid).as_deref(), image_fs.as_ref())?;
                if only_cpu_and_memory {
                    pod.network = None;
                    pod.ephemeral_storage = None;
                    pod.containers
                        .iter_mut()
                        .for_each(|container| container.rootfs = None);
                }
                Some(pod)
            })
            .collect();
        Ok(Summary {
            node: self.node(node, image_fs, only_cpu_and_memory),
            pods,
        })
    }

    fn node(&self, node: &Node, image_fs: Option<FsStats>, only_cpu_and_memory: bool) -> NodeStats {
        let now = Timestamp::now();
        let time = Time(now);
        let memory = read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| machine::memory(&text));
        let (faults, major) = machine::page_faults(&read_to_string("/proc/vmstat").unwrap_or_default());
        let mut stats = NodeStats {
            node_name: node.name.to_string(),
            start_time: Time(booted(now)),
            cpu: self.cpu(now),
            memory: memory.map(|memory| MemoryStats {
                time,
                available_bytes: Some(memory.total.saturating_sub(memory.working_set)),
                usage_bytes: Some(memory.usage),
                working_set_bytes: Some(memory.working_set),
                rss_bytes: Some(memory.rss),
                page_faults: faults,
                major_page_faults: major,
            }),
            network: None,
            fs: None,
            runtime: None,
            rlimit: None,
            swap: memory.map(|memory| SwapStats {
                time,
                swap_available_bytes: Some(memory.swap_free),
                swap_usage_bytes: Some(memory.swap_total.saturating_sub(memory.swap_free)),
            }),
        };
        if !only_cpu_and_memory {
            stats.network = network(time);
            stats.fs = filesystem(&node.paths.root, time);
            stats.runtime = Some(RuntimeStats {
                container_fs: image_fs.clone(),
                image_fs,
            });
            stats.rlimit = Some(RlimitStats {
                time,
                max_pid: read_to_string("/proc/sys/kernel/pid_max")
                    .ok()
                    .and_then(|text| text.trim().parse().ok()),
                running: read_to_string("/proc/loadavg")
                    .ok()
                    .and_then(|text| machine::processes(&text)),
            });
        }
        stats
    }

    fn cpu(&self, now: Timestamp) -> Option<CpuStats> {
        let used = machine::cpu_nanoseconds(&read_to_string("/proc/stat").ok()?)?;
        let last = self.last.lock().replace((now, used));
        let rate = last.and_then(|(then, before)| {
            let nanos = u128::try_from(now.duration_since(then).as_nanos())
                .ok()
                .filter(|nanos| *nanos > 0)?;
            u64::try_from(u128::from(used.saturating_sub(before)) * 1_000_000_000 / nanos).ok()
        });
        Some(CpuStats {
            time: Time(now),
            usage_nano_cores: rate,
            usage_core_nano_seconds: Some(used),
        })
    }
}

/// The images of the runtime's containers, by container id.
///
/// # Errors
/// If the runtime does not answer.
pub async fn images(node: &Node) -> Result<BTreeMap<String, String>, CriError> {
    let answer = node
        .cri
        .service()
        .list_containers(ListContainersRequest { filter: None })
        .await
        .map_err(node.cri.error("ListContainers"))?;
    let containers = answer.into_inner().containers;
    Ok(containers
        .into_iter()
        .map(|container| {
            let image = container
                .image
                .map(|image| image.user_specified_image)
                .unwrap_or_default();
            (
                container.id,
                if image.is_empty() {
                    container.image_ref
                } else {
                    image
                },
            )
        })
        .collect())
}

async fn image_fs(node: &Node) -> Option<FsStats> {
    let answer = node
        .cri
        .images()
        .image_fs_info(ImageFsInfoRequest {})
        .await
        .ok()?
        .into_inner();
    let usage = answer.image_filesystems.first()?;
    let mut stats = filesystem(
        Path::new(&usage.fs_id.as_ref()?.mountpoint),
        Time(Timestamp::now()),
    )?;
    stats.used_bytes = usage.used_bytes.as_ref().map(|used| used.value);
    stats.inodes_used = usage.inodes_used.as_ref().map(|used| used.value);
    Some(stats)
}

fn filesystem(path: &Path, time: Time) -> Option<FsStats> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| Some(blocks.saturating_mul(stat.f_frsize));
    Some(FsStats {
        time,
        available_bytes: bytes(stat.f_bavail),
        capacity_bytes: bytes(stat.f_blocks),
        used_bytes: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        inodes_free: Some(stat.f_ffree),
        inodes: Some(stat.f_files),
        inodes_used: Some(stat.f_files.saturating_sub(stat.f_ffree)),
    })
}

fn network(time: Time) -> Option<NetworkStats> {
    let interfaces = machine::interfaces(&read_to_string("/proc/net/dev").ok()?);
    let route = read_to_string("/proc/net/route").unwrap_or_default();
    let name = machine::default_interface(&route);
    let default = interfaces
        .iter()
        .find(|interface| Some(interface.name.as_str()) == name)
        .or(interfaces.first());
    Some(NetworkStats {
        time,
        default: default.cloned().unwrap_or_default(),
        interfaces,
    })
}

fn booted(now: Timestamp) -> Timestamp {
    let uptime = read_to_string("/proc/uptime").ok();
    let seconds = uptime
        .as_deref()
        .and_then(|text| text.split('.').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    now.checked_sub(std::time::Duration::from_secs(seconds))
        .unwrap_or(now)
}
