//! Events about pods and their containers.

use k8s_openapi::api::core::v1 as core;
use machinery::events::{EventType, Recorder};
use machinery::meta::ObjectRef;

use super::spec::{Kind, PodExt as _};

/// Whom events are about: a pod, or one of its containers.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The pod (a static pod's events go to its mirror by name: they have the same).
    pub pod: &'a core::Pod,
    recorder: &'a Recorder,
    container: Option<(Kind, &'a str)>,
}

impl<'a> About<'a> {
    /// The pod.
    #[must_use]
    pub fn pod(recorder: &'a Recorder, pod: &'a core::Pod) -> Self {
        Self {
            pod,
            recorder,
            container: None,
        }
    }

    /// One of its containers.
    #[must_use]
    pub fn container(self, kind: Kind, name: &'a str) -> Self {
        Self {
            container: Some((kind, name)),
            ..self
        }
    }

    /// All is well.
    pub fn normal(&self, reason: &'static str, message: impl Into<String>) {
        self.record(EventType::Normal, reason, message.into());
    }

    /// Something is not.
    pub fn warning(&self, reason: &'static str, message: impl Into<String>) {
        self.record(EventType::Warning, reason, message.into());
    }

    /// The pod may not run here.
    pub fn rejected(&self, verdict: &crate::status::Verdict) {
        let message = verdict
            .message
            .strip_prefix("Pod was rejected: ")
            .unwrap_or(&verdict.message);
        self.record(EventType::Warning, &verdict.reason, message.to_owned());
    }

    fn record(&self, kind: EventType, reason: &str, message: String) {
        let mut reference = ObjectRef {
            kind: "Pod".into(),
            api_version: "v1".into(),
            namespace: self.pod.namespace().into(),
            name: self.pod.name().into(),
            uid: self.pod.uid().into(),
            resource_version: self
                .pod
                .metadata
                .resource_version
                .as_deref()
                .unwrap_or_default()
                .into(),
            ..Default::default()
        };
        if let Some((kind, name)) = self.container {
            reference = reference.with_field_path(kind.field_path(name));
        }
        self.recorder.event(&reference, kind, reason, "", message);
    }
}
