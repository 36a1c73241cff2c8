//! Environment variables of containers.
//!
//! ```text
//! env, envFrom ─┐
//! objects ──────┼─> resolve (pure) ─> [(name, value)] ─> CRI
//! Services ─────┘                          └─> expand: commands, arguments, sub-paths
//! ```
//!
//! In: a container's `env` and `envFrom`, ConfigMaps, Secrets, the namespace's Services, the pod's own fields. Out: the list
//! for the runtime, in upstream's order, and `$(NAME)` expansion for commands and arguments.

mod env_file;
mod expand;
pub(crate) mod field;
mod resolve;
pub(crate) mod resource;
mod service_cache;
mod services;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use crate::context::{Node, PodRef};
use crate::volume::{Objects, PodVolumes};
pub(crate) use expand::expand_strictly;
pub(crate) use resolve::references;
use resolve::{Sources, resolve};
use service_cache::Services;

/// Why a container's environment cannot be made: the container waits in `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvError(pub String);

/// Resolves environments.
pub struct Environments {
    node: Arc<Node>,
    objects: Arc<Objects>,
    services: Services,
}

impl Environments {
    /// For this node; `objects` is shared with [`crate::volume::Volumes`]. Begins to follow the cluster's Services.
    #[must_use]
    pub fn new(node: Arc<Node>, objects: Arc<Objects>) -> Self {
        let services = Services::start(node.api.as_ref());
        Self {
            node,
            objects,
            services,
        }
    }

    /// The environment of one container; `volumes` are the pod's, already mounted.
    ///
    /// # Errors
    /// When a reference that is not optional is missing (the message is upstream's, e.g. `configmap "x" not found`).
    pub async fn resolve(
        &self,
        pod: &PodRef,
        container: &core::Container,
        pod_ips: &[IpAddr],
        volumes: &PodVolumes,
    ) -> Result<Vec<(String, String)>, EnvError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let links = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.enable_service_links)
            .unwrap_or(true);
        let is_static = pod
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get("kubernetes.io/config.source"))
            .is_some_and(|source| source != "api");
        let services = self
            .services
            .variables(namespace, links, !is_static)
            .await
            .map_err(|why| EnvError(why.to_owned()))?;
        let mut objects = resolve::Found::new();
        for (kind, name) in references(container) {
            let found = self.objects.get(kind, namespace, &name).await;
            objects.insert((kind, name), found);
        }
        let host_ips = self.node.addresses.borrow().clone();
        let capacity = self.node.capacity.borrow().clone();
        resolve(&Sources {
            pod,
            container,
            host_ips: &host_ips,
            pod_ips,
            node: &capacity,
            services,
            objects,
            files: files(container, volumes),
        })
    }
}

/// Expands `$(NAME)` in a command or argument; `$$` is a dollar, an unknown name stays as it is written.
#[must_use]
pub fn expand(text: &str, env: &[(String, String)]) -> String {
    expand::expand_with(text, |name| expand::lookup(env, name))
}

/// Reads the files that `fileKeyRef`s name; a path cannot lead out of its volume.
fn files(
    container: &core::Container,
    volumes: &PodVolumes,
) -> std::collections::BTreeMap<(String, String), Result<String, String>> {
    container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref()?.file_key_ref.as_ref())
        .filter_map(|at| {
            let volume = volumes.by_name.get(&at.volume_name)?;
            let text = crate::volume::read_confined(&volume.path, Path::new(&at.path))
                .map_err(|_| "couldn't parse env file".to_owned());
            Some(((at.volume_name.clone(), at.path.clone()), text))
        })
        .collect()
}
