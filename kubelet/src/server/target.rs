//! Whom a request is about.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use crate::context::Node;
use crate::pod::registry::PodView;

/// The pod of this name.
pub(super) fn pod(node: &Node, namespace: &str, name: &str) -> Option<Arc<PodView>> {
    node.pods.by_name(namespace, name)
}

/// Whether the pod's spec has such a container, of any kind.
pub(super) fn has_container(pod: &core::Pod, name: &str) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let ephemeral = spec
            .ephemeral_containers
            .iter()
            .flatten()
            .map(|container| &container.name);
        let others = spec.init_containers.iter().flatten().chain(&spec.containers);
        others
            .map(|container| &container.name)
            .chain(ephemeral)
            .any(|known| known == name)
    })
}

/// The id of the pod's container, if it runs.
///
/// # Errors
/// Upstream's words if it does not.
pub(super) fn running(view: &PodView, name: &str) -> Result<Arc<str>, String> {
    view.containers
        .iter()
        .find(|container| *container.name == *name && container.running)
        .map(|container| Arc::clone(&container.id))
        .ok_or_else(|| format!("container not found (\"{name}\")"))
}
