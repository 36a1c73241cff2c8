//! What is left on disk and in cgroups of pods that nobody knows any more. The disk itself is the record: folders and
//! cgroups carry the pods' uids, and mounts are in the kernel's table, so there is nothing that could fall out of step.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use tracing::{debug, info};

use super::files;
use super::shared::Shared;

/// Removes it. Pods that the runtime still has are in `known`: their tasks clean up after them.
pub async fn sweep(shared: &Shared, known: &FxHashSet<Arc<str>>) {
    let paths = &shared.node.paths;
    for uid in folders(&paths.root.join("pods")) {
        if known.contains(uid.as_str()) {
            continue;
        }
        info!(uid, "removing what a pod left behind");
        if let Err(error) = shared.volumes.unmount(&uid).await {
            debug!(uid, %error, "volumes of a pod that is gone");
            continue;
        }
        if let Err(error) = files::remove_pod_folders(paths, &uid) {
            debug!(uid, %error, "folder of a pod that is gone");
        }
    }
    for uid in shared.cgroups.pods() {
        if !known.contains(uid.as_str())
            && let Err(error) = shared.cgroups.remove(&uid)
        {
            debug!(uid, %error, "control group of a pod that is gone");
        }
    }
    for name in folders(&paths.pod_logs) {
        let uid = name.rsplit('_').next().unwrap_or_default();
        if name.split('_').count() == 3 && !known.contains(uid) {
            files::remove_pod_logs(paths, &paths.pod_logs.join(&name));
        }
    }
    files::remove_dangling_links(&paths.container_logs);
}

fn folders(path: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .collect()
}
