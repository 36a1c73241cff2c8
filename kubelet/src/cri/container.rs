//! The configuration of a container: pure.

use k8s_openapi::api::core::v1 as core;

use super::api::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, NamespaceMode,
};
use super::labels;
use super::limits::{self, NodeLimits};
use super::security::{self, Defaults, ImageUser};
use crate::env::expand;

/// What was found out for this attempt.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Restarts before it.
    pub restart_count: u32,
    /// The image by id or digest.
    pub image_ref: &'a str,
    /// The user that the image names.
    pub image_user: &'a ImageUser,
    /// Resolved environment.
    pub env: Vec<(String, String)>,
    /// Volumes, hosts file, termination log.
    pub mounts: Vec<Mount>,
    /// For an ephemeral container: the container whose processes it sees.
    pub target: Option<&'a str>,
}

/// The configuration.
///
/// # Errors
/// See [`security::of_container`].
pub fn config(
    pod: &core::Pod,
    container: &core::Container,
    attempt: Attempt<'_>,
    node: &NodeLimits,
    defaults: &Defaults<'_>,
) -> Result<ContainerConfig, String> {
    let mut security = security::of_container(pod, container, attempt.image_user, defaults)?;
    if let (Some(target), Some(ns)) = (attempt.target, security.namespace_options.as_mut())
        && ns.pid == NamespaceMode::Container as i32
    {
        ns.pid = NamespaceMode::Target as i32;
        ns.target_id = target.to_owned();
    }
    let words = |list: &Option<Vec<String>>| list.iter().flatten().map(|w| expand(w, &attempt.env)).collect();
    let image = container.image.clone().unwrap_or_default();
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt: attempt.restart_count,
        }),
        image: Some(ImageSpec {
            image: attempt.image_ref.to_owned(),
            user_specified_image: image,
            ..Default::default()
        }),
        command: words(&container.command),
        args: words(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        labels: labels::of_container(pod, container),
        annotations: labels::container_annotations(pod, container, attempt.restart_count),
        envs: attempt
            .env
            .into_iter()
            .map(|(key, value)| KeyValue { key, value })
            .collect(),
        mounts: attempt.mounts,
        log_path: format!("{}/{}.log", container.name, attempt.restart_count),
        stdin: container.stdin.unwrap_or_default(),
        stdin_once: container.stdin_once.unwrap_or_default(),
        tty: container.tty.unwrap_or_default(),
        linux: Some(LinuxContainerConfig {
            resources: Some(limits::of_container(pod, container, node)),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}
