//! Removes what has ended: containers beyond the last dead one, replaced sandboxes, and in the end all of a pod.

use std::path::Path;

use k8s_openapi::api::core::v1 as core;
use rustc_hash::FxHashMap;
use tracing::debug;

use super::files;
use super::observed::{Container, Observed, RunState};
use super::shared::Shared;
use super::spec::PodExt as _;
use crate::cri::CriError;

/// Ended containers of a name that are kept, for their logs and last state.
const KEPT: usize = 1;

/// The containers and sandboxes that nobody needs any more: (container, sandbox ids).
#[must_use]
pub fn superfluous(seen: &Observed) -> (Vec<Container>, Vec<std::sync::Arc<str>>) {
    let mut ended: FxHashMap<&str, usize> = FxHashMap::default();
    let mut latest: FxHashMap<&str, &str> = FxHashMap::default();
    let mut containers = Vec::new();
    for c in &seen.containers {
        latest.entry(&c.name).or_insert(&c.id);
        if c.state != RunState::Exited {
            continue;
        }
        let count = ended.entry(&c.name).or_default();
        *count += 1;
        if *count > KEPT && latest.get(&*c.name) != Some(&&*c.id) {
            containers.push(c.clone());
        }
    }
    let kept = |sandbox: &str| {
        seen.containers
            .iter()
            .any(|c| *c.sandbox == *sandbox && !containers.iter().any(|gone| gone.id == c.id))
    };
    let sandboxes = seen
        .sandboxes
        .iter()
        .skip(1)
        .filter(|s| !s.ready && !kept(&s.id))
        .map(|s| s.id.clone())
        .collect();
    (containers, sandboxes)
}

/// Removes them.
pub async fn dead_containers(shared: &Shared, pod: &core::Pod, seen: &mut Observed) {
    let (containers, sandboxes) = superfluous(seen);
    for container in containers {
        match shared.node.cri.remove_container(&container.id).await {
            Ok(()) => {
                remove_log(&container);
                seen.containers.retain(|c| c.id != container.id);
            }
            Err(error) => debug!(pod = pod.full(), %error, "removing an ended container"),
        }
    }
    for sandbox in sandboxes {
        match shared.node.cri.remove_sandbox(&sandbox).await {
            Ok(()) => seen.sandboxes.retain(|s| s.id != sandbox),
            Err(error) => debug!(pod = pod.full(), %error, "removing a replaced sandbox"),
        }
    }
}

/// The log of an attempt, rotated parts included.
fn remove_log(container: &Container) {
    let path = Path::new(&*container.log_path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n == name || n.starts_with(&format!("{name}.")));
        if is_part {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes everything of a pod from the runtime, and its logs and folders. Everything of it has stopped.
///
/// # Errors
/// When the runtime keeps something.
pub async fn everything(shared: &Shared, pod: &core::Pod, seen: &Observed) -> Result<(), CriError> {
    for container in &seen.containers {
        shared.node.cri.remove_container(&container.id).await?;
    }
    for sandbox in &seen.sandboxes {
        shared.node.cri.remove_sandbox(&sandbox.id).await?;
    }
    let paths = &shared.node.paths;
    files::remove_pod_logs(paths, &paths.pod_log(pod.namespace(), pod.name(), pod.uid()));
    if let Err(error) = files::remove_pod_folders(paths, pod.uid()) {
        debug!(pod = pod.full(), %error, "removing the pod's folder: the next start tries again");
    }
    shared.images.forget(pod.uid());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ended_attempt_is_kept_beside_the_running_one() {
        let container = |id: &str, name: &str, sandbox: &str, state| Container {
            id: id.into(),
            name: name.into(),
            sandbox: sandbox.into(),
            state,
            ..Default::default()
        };
        let sandbox = |id: &str, ready| super::super::observed::Sandbox {
            id: id.into(),
            ready,
            ..Default::default()
        };
        let seen = Observed {
            sandboxes: vec![sandbox("s2", true), sandbox("s1", false), sandbox("s0", false)],
            containers: vec![
                container("a3", "a", "s2", RunState::Running),
                container("a2", "a", "s1", RunState::Exited),
                container("a1", "a", "s0", RunState::Exited),
                container("b0", "b", "s2", RunState::Exited),
            ],
        };
        let (containers, sandboxes) = superfluous(&seen);
        assert_eq!(containers.iter().map(|c| &*c.id).collect::<Vec<_>>(), ["a1"]);
        assert_eq!(sandboxes.iter().map(|s| &**s).collect::<Vec<_>>(), ["s0"]);
    }
}
