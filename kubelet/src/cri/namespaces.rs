//! Which namespaces a pod's containers live in.

use k8s_openapi::api::core::v1 as core;

use super::api::{NamespaceMode, NamespaceOption};
use crate::pod::spec::PodExt as _;

/// The namespaces of a pod.
#[must_use]
pub fn of_pod(pod: &core::Pod) -> NamespaceOption {
    let spec = pod.spec();
    let node_or_pod = |host: Option<bool>| {
        if host == Some(true) {
            NamespaceMode::Node
        } else {
            NamespaceMode::Pod
        }
    };
    let pid = if spec.host_pid == Some(true) {
        NamespaceMode::Node
    } else if spec.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    NamespaceOption {
        network: node_or_pod(spec.host_network) as i32,
        ipc: node_or_pod(spec.host_ipc) as i32,
        pid: pid as i32,
        ..Default::default()
    }
}
