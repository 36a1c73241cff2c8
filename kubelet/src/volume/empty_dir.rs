//! emptyDir volumes, and the folders under volumes that the kubelet fills.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;
use machinery::arith::Quantity;

use super::{mounts, ownership};

/// Everybody may write to an emptyDir: its containers may run as anybody.
const MODE: u32 = 0o777;

/// What holds the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk,
    /// Memory, this many bytes at most.
    Memory(u64),
    /// Huge pages of this many bytes.
    HugePages(u64),
}

/// The medium of an emptyDir.
///
/// # Errors
/// For a medium that there is not, or huge pages that the pod does not ask for.
pub(crate) fn medium(
    source: &core::EmptyDirVolumeSource,
    pod: &core::Pod,
    node_memory: u64,
) -> Result<Medium, String> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => Ok(Medium::Memory(memory_limit(
            pod,
            source.size_limit.as_ref(),
            node_memory,
        ))),
        "HugePages" => {
            let sizes = requested_pages(pod);
            match sizes.as_slice() {
                [] => Err("medium HugePages: hugePages storage requested, but there is no resource request for huge pages".to_owned()),
                [size] => Ok(Medium::HugePages(*size)),
                _ => Err("medium: HugePages can't be used if container requests multiple huge page sizes".to_owned()),
            }
        }
        other => {
            let size = other.strip_prefix("HugePages-").and_then(bytes);
            let size = size.ok_or_else(|| format!("unknown storage medium {other:?}"))?;
            if requested_pages(pod).contains(&size) {
                Ok(Medium::HugePages(size))
            } else {
                Err(format!(
                    "medium {other}: hugePages storage requested, but there is no resource request for huge pages"
                ))
            }
        }
    }
}

/// What a memory volume of the pod may hold: its own limit, within the pod's limit, within what the node has.
pub(crate) fn memory_limit(
    pod: &core::Pod,
    size_limit: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
    node_memory: u64,
) -> u64 {
    let own = size_limit.and_then(|limit| bytes(&limit.0));
    [pod_memory_limit(pod), own]
        .into_iter()
        .flatten()
        .filter(|limit| *limit > 0)
        .fold(node_memory, u64::min)
}

/// The memory limit of the pod's cgroup: its own, or its containers' if every one of them has one.
fn pod_memory_limit(pod: &core::Pod) -> Option<u64> {
    let limit = |resources: Option<&core::ResourceRequirements>| {
        resources.and_then(|own| bytes(&own.limits.as_ref()?.get("memory")?.0))
    };
    let spec = pod.spec.as_ref()?;
    if let Some(limit) = spec
        .resources
        .as_ref()
        .and_then(|own| bytes(&own.limits.as_ref()?.get("memory")?.0))
    {
        return Some(limit);
    }
    let mut running = 0_u64;
    let mut most_at_start = 0_u64;
    for container in spec.init_containers.iter().flatten() {
        let own = limit(container.resources.as_ref())?;
        if container.restart_policy.as_deref() == Some("Always") {
            running += own;
            most_at_start = most_at_start.max(running);
        } else {
            most_at_start = most_at_start.max(running + own);
        }
    }
    for container in &spec.containers {
        running += limit(container.resources.as_ref())?;
    }
    Some(running.max(most_at_start))
}

fn requested_pages(pod: &core::Pod) -> Vec<u64> {
    let Some(spec) = pod.spec.as_ref() else {
        return Vec::new();
    };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut sizes: Vec<u64> = containers
        .filter_map(|container| container.resources.as_ref()?.requests.as_ref())
        .flat_map(|requests| requests.keys())
        .filter_map(|name| bytes(name.strip_prefix("hugepages-")?))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn bytes(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Quantity>().ok()?.value()).ok()
}

/// Makes `folder` on its medium. A folder that is ready is left as its pod made it: owners and modes too.
///
/// `marker` is where upstream notes that it is (`POD/plugins/kubernetes.io~empty-dir/NAME`).
///
/// # Errors
/// What could not be made.
pub(crate) fn make(
    folder: &Path,
    marker: &Path,
    medium: Medium,
    mode: Option<u32>,
    group: Option<u32>,
) -> io::Result<()> {
    let ready = marker.join("ready");
    let is_mounted = match mounts::is_mount_point(folder) {
        Ok(mounted) => mounted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let is_there = if medium == Medium::Disk {
        folder.is_dir()
    } else {
        is_mounted
    };
    if is_there && ready.exists() {
        return Ok(());
    }
    // POD/volumes is the kubelet's alone; the plugins' folders in it are as upstream leaves them.
    if let Some(volumes) = folder.parent().and_then(Path::parent) {
        DirBuilder::new().recursive(true).mode(0o750).create(volumes)?;
    }
    DirBuilder::new().recursive(true).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(mode.unwrap_or(MODE)))?;
    match medium {
        Medium::Memory(size) if !is_mounted => mounts::tmpfs(folder, size)?,
        Medium::HugePages(size) if !is_mounted => mounts::huge_pages(folder, size)?,
        _ => {}
    }
    if let (Some(mode), true) = (mode, medium != Medium::Disk) {
        fs::set_permissions(folder, Permissions::from_mode(mode))?;
    }
    if let Some(group) = group {
        ownership::give(folder, group, false)?;
    }
    DirBuilder::new().recursive(true).mode(0o750).create(marker)?;
    fs::write(ready, "")
}

/// Where it is noted that the emptyDir `name` is ready.
pub(crate) fn marker(pod: &Path, name: &str) -> PathBuf {
    pod.join("plugins/kubernetes.io~empty-dir").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> core::Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn limited(memory: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"limits": {"memory": memory}}})
    }

    #[test]
    fn memory_is_bounded_by_volume_pod_and_node() {
        let node = 1 << 30;
        let of = |spec: serde_json::Value, size: Option<&str>| {
            let source = core::EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: size.map(|size| serde_json::from_value(json!(size)).unwrap()),
                ..core::EmptyDirVolumeSource::default()
            };
            medium(&source, &pod(spec), node).unwrap()
        };
        let open = || json!({"containers": [{"name": "c"}]});
        assert_eq!(of(open(), None), Medium::Memory(node));
        assert_eq!(of(open(), Some("64Mi")), Medium::Memory(64 << 20));
        assert_eq!(of(open(), Some("64Gi")), Medium::Memory(node));
        assert_eq!(of(open(), Some("0")), Medium::Memory(node));
        let two = json!({"containers": [limited("32Mi"), limited("16Mi")]});
        assert_eq!(of(two.clone(), None), Medium::Memory(48 << 20));
        assert_eq!(of(two, Some("16Mi")), Medium::Memory(16 << 20));
        let half = json!({"containers": [limited("32Mi"), {"name": "d"}]});
        assert_eq!(of(half, None), Medium::Memory(node));
        let of_pod = json!({"resources": {"limits": {"memory": "8Mi"}}, "containers": [{"name": "d"}]});
        assert_eq!(of(of_pod, None), Medium::Memory(8 << 20));
    }

    #[test]
    fn huge_pages_need_a_request() {
        let source = |medium: &str| core::EmptyDirVolumeSource {
            medium: Some(medium.to_owned()),
            ..core::EmptyDirVolumeSource::default()
        };
        let asks =
            pod(json!({"containers": [{"name": "c", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}));
        let none = pod(json!({"containers": [{"name": "c"}]}));
        assert_eq!(
            medium(&source("HugePages"), &asks, 1),
            Ok(Medium::HugePages(2 << 20))
        );
        assert_eq!(
            medium(&source("HugePages-2Mi"), &asks, 1),
            Ok(Medium::HugePages(2 << 20))
        );
        assert!(medium(&source("HugePages-1Gi"), &asks, 1).is_err());
        assert!(medium(&source("HugePages"), &none, 1).is_err());
        assert!(medium(&source("Tape"), &none, 1).is_err());
    }

    #[test]
    fn a_folder_is_open_to_all_and_left_alone_once_it_is_ready() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, marker) = (dir.path().join("volumes/v"), marker(dir.path(), "v"));
        make(&folder, &marker, Medium::Disk, None, None).unwrap();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o7777,
            0o777
        );
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join("data"), "1").unwrap();
        make(&folder, &marker, Medium::Disk, None, None).unwrap();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o7777,
            0o700
        );
        assert!(folder.join("data").exists());
    }
}
