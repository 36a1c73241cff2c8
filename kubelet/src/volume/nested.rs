//! Mount points that have to exist inside a volume that is read-only for the runtime: where a container mounts one
//! volume below another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;

/// The folders, relative to the root of `volume`, that other mounts of the pod's containers need in it. A mount below
/// another one of those is left out: it is the inner volume's to hold.
pub(crate) fn folders(pod: &core::Pod, volume: &str) -> BTreeSet<PathBuf> {
    let Some(spec) = pod.spec.as_ref() else {
        return BTreeSet::new();
    };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut found = BTreeSet::new();
    for container in containers {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        // Through a sub-path the volume's root is not what the other mount is below.
        for outer in mounts
            .iter()
            .filter(|mount| mount.name == volume && !has_sub_path(mount))
        {
            let mut inner: Vec<&Path> = mounts
                .iter()
                .filter_map(|mount| Path::new(&mount.mount_path).strip_prefix(&outer.mount_path).ok())
                .filter(|below| !below.as_os_str().is_empty())
                .collect();
            inner.sort_unstable();
            let mut last: Option<&Path> = None;
            for below in inner {
                if last.is_some_and(|last| below.starts_with(last)) {
                    continue;
                }
                last = Some(below);
                // A path that begins like the writer's own names cannot be made, nor one that leads out.
                if !below.to_string_lossy().starts_with("..") {
                    found.insert(below.to_owned());
                }
            }
        }
    }
    found
}

fn has_sub_path(mount: &core::VolumeMount) -> bool {
    [&mount.sub_path, &mount.sub_path_expr]
        .into_iter()
        .flatten()
        .any(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_mounts_below_the_volume_count() {
        let pod: core::Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "volumeMounts": [
                {"name": "outer", "mountPath": "/etc/app"},
                {"name": "a", "mountPath": "/etc/app/a"},
                {"name": "b", "mountPath": "/etc/app/a/b"},
                {"name": "c", "mountPath": "/etc/app/c/d"},
                {"name": "d", "mountPath": "/etc/application"},
            ]}]},
        }))
        .unwrap();
        let found: Vec<_> = folders(&pod, "outer").into_iter().collect();
        assert_eq!(found, [PathBuf::from("a"), PathBuf::from("c/d")]);
        assert!(folders(&pod, "d").is_empty());
    }
}
