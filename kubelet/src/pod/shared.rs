//! What all pod tasks share.

use std::sync::Arc;

use jiff::Timestamp;
use machinery::meta::Resource;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::calm::Calm;
use super::spec::PodExt as _;
use crate::cgroup::{self, Cgroups};
use crate::context::Node;
use crate::cri::dns::{self, Resolver};
use crate::cri::limits::NodeLimits;
use crate::cri::{api, sandbox};
use crate::env::Environments;
use crate::image::Images;
use crate::pod::resize::checkpoint::Allocations;
use crate::pod::resources::Qos;
use crate::volume::Volumes;
use k8s_openapi::api::core::v1 as core;

const RUNTIME_CLASSES: Resource = Resource::cluster("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass");

/// One a process.
pub struct Shared {
    /// The node.
    pub node: Arc<Node>,
    /// Volumes.
    pub volumes: Volumes,
    /// Environments.
    pub environments: Environments,
    /// Images.
    pub images: Images,
    /// Control groups.
    pub cgroups: Cgroups,
    /// The resources that pods may have, and were given.
    pub allocations: Arc<Allocations>,
    /// Machine sizes.
    pub limits: NodeLimits,
    /// When this kubelet started.
    pub started: Timestamp,
    /// When to do what nobody waits for.
    pub calm: Arc<Calm>,
    /// Runtime handlers by runtime class, as far as asked for.
    pub handlers: Mutex<FxHashMap<String, String>>,
}

impl Shared {
    /// The scheme of container ids.
    #[must_use]
    pub fn runtime_name(&self) -> String {
        let runtime = self.node.runtime.borrow();
        runtime
            .version
            .split_once("://")
            .map_or("containerd", |(name, _)| name)
            .to_owned()
    }

    /// DNS of the cluster and of the node, which may change while we run.
    #[must_use]
    pub fn resolver(&self) -> Resolver {
        let config = &self.node.config;
        let host = std::fs::read_to_string(&config.resolv_conf)
            .map(|text| dns::parse(&text))
            .unwrap_or_default();
        Resolver {
            servers: config.cluster_dns.clone(),
            domain: config.cluster_domain.clone(),
            host,
            host_is_local: config.resolv_conf.is_empty(),
        }
    }

    /// The configuration of a pod's sandbox, with warnings.
    ///
    /// # Errors
    /// See [`sandbox::config`].
    pub fn sandbox_config(
        &self,
        pod: &core::Pod,
        attempt: u32,
    ) -> Result<(api::PodSandboxConfig, Vec<String>), String> {
        let resolver = self.resolver();
        let node = sandbox::NodeFacts {
            resolver: &resolver,
            sysctls: &self.node.config.default_pod_sysctls,
            limits: &self.limits,
            log_directory: &self.node.paths.pod_log(pod.namespace(), pod.name(), pod.uid()),
            cgroup_parent: &self.cgroups.parent(pod.uid(), Qos::of(pod)),
        };
        sandbox::config(pod, attempt, node)
    }

    /// What the pod's cgroup is limited to.
    #[must_use]
    pub fn pod_limits(&self, pod: &core::Pod) -> cgroup::Limits {
        let config = &self.node.config;
        let period = config.cpu_cfs_quota.then_some(self.limits.cfs_period);
        cgroup::of_pod(
            pod,
            period,
            Some(config.pod_pids_limit),
            &self.limits.hugepage_sizes,
        )
    }

    /// Makes the pod's cgroup.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_cgroup(&self, pod: &core::Pod) -> Result<(), cgroup::CgroupError> {
        self.cgroups
            .ensure(pod.uid(), Qos::of(pod), &self.pod_limits(pod))
    }

    /// The runtime handler of a pod's runtime class; empty for the default one.
    ///
    /// # Errors
    /// When the class is not known.
    pub async fn handler(&self, pod: &core::Pod) -> Result<String, String> {
        #[derive(Deserialize)]
        struct RuntimeClass {
            handler: String,
        }
        let Some(class) = pod.spec().runtime_class_name.as_deref().filter(|c| !c.is_empty()) else {
            return Ok(String::new());
        };
        if let Some(handler) = self.handlers.lock().get(class) {
            return Ok(handler.clone());
        }
        let Some(api) = &self.node.api else {
            return Err(format!(
                "failed to get RuntimeClass {class}: there is no API server"
            ));
        };
        match api.get::<RuntimeClass>(&RUNTIME_CLASSES, "", class).await {
            Ok(found) => {
                self.handlers
                    .lock()
                    .insert(class.to_owned(), found.handler.clone());
                Ok(found.handler)
            }
            Err(error) if error.is_not_found() => Err(format!("RuntimeClass {class:?} not found")),
            Err(error) => Err(format!("failed to get RuntimeClass {class}: {error}")),
        }
    }

    /// Whether the runtime's handler of a class mounts recursively read-only.
    #[must_use]
    pub fn recursive_read_only(&self, pod: &core::Pod) -> bool {
        let class = pod.spec().runtime_class_name.as_deref().unwrap_or_default();
        let handler = self.handlers.lock().get(class).cloned().unwrap_or_default();
        let runtime = self.node.runtime.borrow();
        runtime
            .handlers
            .iter()
            .any(|h| h.name == handler && h.recursive_read_only_mounts)
    }
}
