//! Readings of a pod spec that several parts need.

use k8s_openapi::api::core::v1 as core;

/// Which list of the spec a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `spec.initContainers`.
    Init,
    /// `spec.containers`.
    App,
    /// `spec.ephemeralContainers`.
    Ephemeral,
}

impl Kind {
    /// The `fieldPath` of events on a container.
    #[must_use]
    pub fn field_path(self, name: &str) -> String {
        match self {
            Self::Init => format!("spec.initContainers{{{name}}}"),
            Self::App => format!("spec.containers{{{name}}}"),
            Self::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
        }
    }
}

/// Readings of a pod.
pub trait PodExt {
    /// The spec (every pod that passed validation has one).
    fn spec(&self) -> &core::PodSpec;
    /// Init containers, in order.
    fn init(&self) -> &[core::Container];
    /// App containers.
    fn app(&self) -> &[core::Container];
    /// `metadata.uid`.
    fn uid(&self) -> &str;
    /// `metadata.name`.
    fn name(&self) -> &str;
    /// `metadata.namespace`.
    fn namespace(&self) -> &str;
    /// `NAME_NAMESPACE(UID)`, as upstream names pods in messages.
    fn full(&self) -> String;
    /// Shares the node's network namespace.
    fn host_network(&self) -> bool;
    /// Has ports of the node lead to it.
    fn has_host_ports(&self) -> bool;
    /// `restartPolicy`.
    fn restart_policy(&self) -> &str;
    /// Came from a file or URL on this node.
    fn is_static(&self) -> bool;
    /// Is the API's copy of a static pod.
    fn is_mirror(&self) -> bool;
    /// The API wants it gone.
    fn is_deleting(&self) -> bool;
    /// A container of this name, with its kind.
    fn container(&self, name: &str) -> Option<(Kind, core::Container)>;
}

/// Where a pod came from: `api`, `file` or `http`.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// On a mirror pod: the hash of the static pod it mirrors.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// On a static pod: the hash of its file.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// When the kubelet first saw the pod.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

static EMPTY_SPEC: std::sync::LazyLock<core::PodSpec> = std::sync::LazyLock::new(core::PodSpec::default);

impl PodExt for core::Pod {
    fn spec(&self) -> &core::PodSpec {
        self.spec.as_ref().unwrap_or(&EMPTY_SPEC)
    }
    fn init(&self) -> &[core::Container] {
        self.spec().init_containers.as_deref().unwrap_or_default()
    }
    fn app(&self) -> &[core::Container] {
        &self.spec().containers
    }
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
    fn full(&self) -> String {
        format!(
            "{}_{}({})",
            PodExt::name(self),
            PodExt::namespace(self),
            PodExt::uid(self)
        )
    }
    fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }
    fn has_host_ports(&self) -> bool {
        let ports = |c: &core::Container| {
            c.ports
                .iter()
                .flatten()
                .any(|p| p.host_port.is_some_and(|n| n > 0))
        };
        !self.host_network() && self.init().iter().chain(self.app()).any(ports)
    }
    fn restart_policy(&self) -> &str {
        self.spec().restart_policy.as_deref().unwrap_or("Always")
    }
    fn is_static(&self) -> bool {
        annotation(self, CONFIG_SOURCE).is_some_and(|s| s != "api")
    }
    fn is_mirror(&self) -> bool {
        annotation(self, CONFIG_MIRROR).is_some()
    }
    fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
    fn container(&self, name: &str) -> Option<(Kind, core::Container)> {
        if let Some(c) = self.app().iter().find(|c| c.name == name) {
            return Some((Kind::App, c.clone()));
        }
        if let Some(c) = self.init().iter().find(|c| c.name == name) {
            return Some((Kind::Init, c.clone()));
        }
        let ephemeral = self.spec().ephemeral_containers.iter().flatten();
        ephemeral
            .filter(|c| c.name == name)
            .map(|c| (Kind::Ephemeral, from_ephemeral(c)))
            .next()
    }
}

/// One annotation of a pod.
#[must_use]
pub fn annotation<'a>(pod: &'a core::Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether an init container is a sidecar: kept running beside the app containers.
#[must_use]
pub fn is_sidecar(container: &core::Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// An ephemeral container has the fields of any other.
#[must_use]
pub fn from_ephemeral(c: &core::EphemeralContainer) -> core::Container {
    core::Container {
        args: c.args.clone(),
        command: c.command.clone(),
        env: c.env.clone(),
        env_from: c.env_from.clone(),
        image: c.image.clone(),
        image_pull_policy: c.image_pull_policy.clone(),
        name: c.name.clone(),
        resources: c.resources.clone(),
        security_context: c.security_context.clone(),
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        termination_message_path: c.termination_message_path.clone(),
        termination_message_policy: c.termination_message_policy.clone(),
        tty: c.tty,
        volume_devices: c.volume_devices.clone(),
        volume_mounts: c.volume_mounts.clone(),
        working_dir: c.working_dir.clone(),
        ..Default::default()
    }
}
