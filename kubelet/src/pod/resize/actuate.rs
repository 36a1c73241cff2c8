//! Gives a pod the resources that are allocated to it.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use tracing::warn;

use super::checkpoint::{Which, Write};
use super::steps::{Effective, Resize, Step, steps};
use super::{PodResources, apply, is_same, of_spec};
use crate::context::PodRef;
use crate::cri::limits;
use crate::pod::plan::Start;
use crate::pod::resources::Qos;
use crate::pod::shared::Shared;
use crate::pod::spec::{Kind, PodExt as _};

/// What the pod was given. Of a pod that nobody has a record of it is what it may have.
#[must_use]
pub fn known(shared: &Shared, pod: &core::Pod) -> Arc<PodResources> {
    let allocations = &shared.allocations;
    if let Some(known) = allocations.get(Which::Actuated, pod.uid()) {
        return known;
    }
    let allocated = allocations
        .get(Which::Allocated, pod.uid())
        .filter(|allocated| is_same(pod, allocated));
    let first = allocated.unwrap_or_else(|| Arc::new(of_spec(pod)));
    record(shared, pod, Arc::clone(&first), Write::Lazily);
    first
}

fn record(shared: &Shared, pod: &core::Pod, resources: Arc<PodResources>, write: Write) {
    let uid: Arc<str> = pod.uid().into();
    if let Err(error) = shared.allocations.set(Which::Actuated, &uid, resources, write) {
        warn!(pod = pod.full(), %error, "the record of the pod's resources cannot be written");
    }
}

/// A container was started with what its spec says.
pub fn started(shared: &Shared, pod: &core::Pod, which: Start, container: &core::Container) {
    if which.kind == Kind::Ephemeral {
        return;
    }
    let known = known(shared, pod);
    let level = pod.spec().resources.as_ref();
    let to = Effective::of(level, container.resources.as_ref());
    let before = known.container_resources.get(&container.name);
    let from = Effective::of(known.pod_level_resources.as_ref(), before);
    if before.is_some() && from == to {
        return;
    }
    let mut new = PodResources::clone(&known);
    set(&mut new, pod, container);
    record(shared, pod, Arc::new(new), Write::Now);
}

/// As upstream records it: the pod's limits stand where the container has none.
fn set(resources: &mut PodResources, pod: &core::Pod, container: &core::Container) {
    let mut own = container.resources.clone().unwrap_or_default();
    let level = pod.spec().resources.as_ref().and_then(|r| r.limits.as_ref());
    for (name, text) in level.into_iter().flatten() {
        let known = crate::pod::resources::of(own.limits.as_ref(), name);
        if matches!(name.as_str(), "cpu" | "memory") && known.is_none_or(|known| known.is_zero()) {
            own.limits
                .get_or_insert_default()
                .insert(name.clone(), text.clone());
        }
    }
    resources.container_resources.insert(container.name.clone(), own);
}

/// Takes the steps of a resize. What was done is recorded when all of it was: each step may be taken twice.
///
/// # Errors
/// The step that failed.
pub async fn actuate(shared: &Shared, pod: &PodRef, resize: &Resize) -> Result<(), String> {
    let known = known(shared, pod);
    let before = apply(pod, &known);
    let (now, then) = (shared.pod_limits(&before), shared.pod_limits(pod));
    has_room(shared, pod, resize, now.memory, then.memory)?;
    for step in steps(resize, &now, &then) {
        match step {
            Step::Pod(part) => {
                shared
                    .cgroups
                    .ensure(pod.uid(), Qos::of(pod), &part)
                    .map_err(|error| error.to_string())?;
            }
            Step::Container(place, to) => {
                let Some(change) = resize.changes.get(place) else {
                    continue;
                };
                let Some((_, mut container)) = pod.container(&change.name) else {
                    continue;
                };
                let hugepages = container.resources.take().unwrap_or_default();
                let mut resources = to.requirements();
                for (name, text) in hugepages.limits.iter().flatten() {
                    if name.starts_with("hugepages-") {
                        let limits = resources.limits.get_or_insert_default();
                        limits.insert(name.clone(), text.clone());
                    }
                }
                container.resources = Some(resources);
                let linux = limits::of_container(pod, &container, &shared.limits);
                let answer = shared.node.cri.update_container(&change.id, linux).await;
                answer.map_err(|error| {
                    format!(
                        "updating the resources of container {:?} failed: {}",
                        change.name,
                        error.message()
                    )
                })?;
            }
        }
    }
    let mut new = PodResources::clone(&known);
    new.pod_level_resources.clone_from(&pod.spec().resources);
    for change in &resize.changes {
        if let Some((_, container)) = pod.container(&change.name) {
            set(&mut new, pod, &container);
        }
    }
    record(shared, pod, Arc::new(new), Write::Now);
    Ok(())
}

/// No memory limit may go below what is in use: the kernel would end somebody.
fn has_room(
    shared: &Shared,
    pod: &core::Pod,
    resize: &Resize,
    now: Option<i64>,
    then: Option<i64>,
) -> Result<(), String> {
    let limit = |limit: Option<i64>| limit.filter(|bytes| *bytes > 0);
    let path = shared.cgroups.pod_path(pod.uid(), Qos::of(pod));
    let Some(folder) = shared.cgroups.folder("memory", &path) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    if let Some(then) = limit(then)
        && limit(now).is_none_or(|now| then < now)
        && let Some(used) = usage(&folder)
        && used >= then
    {
        problems.push(format!(
            "attempting to set pod memory limit ({then}) below current usage ({used})"
        ));
    }
    for change in &resize.changes {
        let (from, to) = (change.from.memory_limit, change.to.memory_limit);
        if to > 0
            && (from == 0 || to < from)
            && let Some(used) = child(&folder, &change.id).and_then(|folder| usage(&folder))
            && used >= to
        {
            problems.push(format!(
                "attempting to set container {:?} memory limit ({to}) below current usage ({used})",
                change.name
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let problems = crate::node::conditions::aggregate(&problems);
    Err(format!("cannot decrease memory limits: {problems}"))
}

/// A container's folder in the pod's: its id, with whatever the driver puts around it.
fn child(folder: &Path, id: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(id));
    named.next().map(|entry| entry.path())
}

fn usage(folder: &Path) -> Option<i64> {
    ["memory.current", "memory.usage_in_bytes"]
        .iter()
        .find_map(|file| {
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            text.trim().parse().ok()
        })
}
