//! Labels and annotations on sandboxes and containers: how either kubelet finds its own (and the other's) again.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1 as core;

use super::hash;

/// Pod name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Pod namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Pod uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Container name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Hash of the container's name and image, hexadecimal.
pub const HASH: &str = "io.kubernetes.container.hash";
/// How often the container was restarted before this attempt.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Where the container writes its last words.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// `File` or `FallbackToLogsOnError`.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The preStop hook, as JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// The ports, as JSON.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// Grace period of a pod that was already being deleted.
pub const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
/// Grace period in the pod's spec.
pub const TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The sandbox's labels: the pod's own and those that name it.
#[must_use]
pub fn of_sandbox(pod: &core::Pod) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = pod
        .metadata
        .labels
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    insert_pod(&mut labels, pod);
    labels
}

/// The sandbox's annotations: the pod's own.
#[must_use]
pub fn sandbox_annotations(pod: &core::Pod) -> HashMap<String, String> {
    pod.metadata
        .annotations
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// A container's labels.
#[must_use]
pub fn of_container(pod: &core::Pod, container: &core::Container) -> HashMap<String, String> {
    let mut labels = HashMap::with_capacity(4);
    insert_pod(&mut labels, pod);
    labels.insert(CONTAINER_NAME.into(), container.name.clone());
    labels
}

fn insert_pod(labels: &mut HashMap<String, String>, pod: &core::Pod) {
    let meta = &pod.metadata;
    labels.insert(POD_NAME.into(), meta.name.clone().unwrap_or_default());
    labels.insert(POD_NAMESPACE.into(), meta.namespace.clone().unwrap_or_default());
    labels.insert(POD_UID.into(), meta.uid.clone().unwrap_or_default());
}

/// A container's annotations.
#[must_use]
pub fn container_annotations(
    pod: &core::Pod,
    container: &core::Container,
    restart_count: u32,
) -> HashMap<String, String> {
    let image = container.image.as_deref().unwrap_or_default();
    let mut out = HashMap::with_capacity(8);
    out.insert(
        HASH.into(),
        format!("{:x}", hash::container(&container.name, image)),
    );
    out.insert(RESTART_COUNT.into(), restart_count.to_string());
    out.insert(
        TERMINATION_MESSAGE_PATH.into(),
        container.termination_message_path.clone().unwrap_or_default(),
    );
    out.insert(
        TERMINATION_MESSAGE_POLICY.into(),
        container.termination_message_policy.clone().unwrap_or_default(),
    );
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        out.insert(DELETION_GRACE_PERIOD.into(), seconds.to_string());
    }
    if let Some(seconds) = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds) {
        out.insert(TERMINATION_GRACE_PERIOD.into(), seconds.to_string());
    }
    if let Some(json) = container
        .lifecycle
        .as_ref()
        .and_then(|l| l.pre_stop.as_ref())
        .and_then(|hook| serde_json::to_string(hook).ok())
    {
        out.insert(PRE_STOP.into(), json);
    }
    if let Some(json) = container
        .ports
        .as_ref()
        .filter(|p| !p.is_empty())
        .and_then(|p| serde_json::to_string(p).ok())
    {
        out.insert(PORTS.into(), json);
    }
    out
}

/// What a container's annotations say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerNotes {
    /// See [`HASH`].
    pub hash: u64,
    /// See [`RESTART_COUNT`].
    pub restart_count: u32,
    /// See [`TERMINATION_MESSAGE_PATH`].
    pub termination_message_path: String,
    /// `FallbackToLogsOnError` was asked for.
    pub fall_back_to_logs: bool,
}

impl ContainerNotes {
    /// Reads annotations; what is missing or unreadable is zero, as upstream takes it.
    #[must_use]
    pub fn read(annotations: &HashMap<String, String>) -> Self {
        let text = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
        Self {
            hash: u64::from_str_radix(text(HASH), 16).unwrap_or_default(),
            restart_count: text(RESTART_COUNT).parse().unwrap_or_default(),
            termination_message_path: text(TERMINATION_MESSAGE_PATH).to_owned(),
            fall_back_to_logs: text(TERMINATION_MESSAGE_POLICY) == "FallbackToLogsOnError",
        }
    }
}

/// What it takes to stop a container of a pod whose spec is gone, restored from its annotations.
#[must_use]
pub fn restore(
    labels: &BTreeMap<String, String>,
    annotations: &HashMap<String, String>,
) -> (core::Pod, core::Container) {
    let number = |key: &str| annotations.get(key).and_then(|v| v.parse::<i64>().ok());
    let mut pod = core::Pod::default();
    pod.metadata.uid = labels.get(POD_UID).cloned();
    pod.metadata.name = labels.get(POD_NAME).cloned();
    pod.metadata.namespace = labels.get(POD_NAMESPACE).cloned();
    pod.metadata.deletion_grace_period_seconds = number(DELETION_GRACE_PERIOD);
    pod.spec = Some(core::PodSpec {
        termination_grace_period_seconds: number(TERMINATION_GRACE_PERIOD),
        ..Default::default()
    });
    let mut container = core::Container {
        name: labels.get(CONTAINER_NAME).cloned().unwrap_or_default(),
        ports: annotations.get(PORTS).and_then(|v| serde_json::from_str(v).ok()),
        ..Default::default()
    };
    if let Some(hook) = annotations
        .get(PRE_STOP)
        .and_then(|v| serde_json::from_str(v).ok())
    {
        container.lifecycle = Some(core::Lifecycle {
            pre_stop: Some(hook),
            ..Default::default()
        });
    }
    (pod, container)
}
