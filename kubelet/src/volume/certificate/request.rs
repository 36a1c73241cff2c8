//! PodCertificateRequests as the API has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::meta::{Object, ObjectMeta};
use serde::Deserialize;
use serde_json::{Value, json};

/// One request, as far as its maker reads it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    #[serde(rename = "podUID")]
    pub pod_uid: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub conditions: Vec<Condition>,
    pub certificate_chain: Box<str>,
    pub begin_refresh_at: Option<Time>,
    pub not_after: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub reason: Box<str>,
    pub message: Box<str>,
}

impl Object for Request {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Whom a request is for. The API server checks every word of it.
pub(super) struct For<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub pod_uid: &'a str,
    pub account: &'a str,
    pub account_uid: &'a str,
    pub node: &'a str,
    pub node_uid: &'a str,
}

/// The request to create.
pub(super) fn body(wanted: &core::PodCertificateProjection, whom: &For<'_>, proof: &[u8]) -> Value {
    let mut spec = json!({
        "signerName": wanted.signer_name,
        "podName": whom.pod,
        "podUID": whom.pod_uid,
        "serviceAccountName": whom.account,
        "serviceAccountUID": whom.account_uid,
        "nodeName": whom.node,
        "nodeUID": whom.node_uid,
        "stubPKCS10Request": STANDARD.encode(proof),
    });
    if let Some(seconds) = wanted.max_expiration_seconds {
        spec["maxExpirationSeconds"] = seconds.into();
    }
    if let Some(annotations) = wanted.user_annotations.as_ref().filter(|all| !all.is_empty()) {
        spec["unverifiedUserAnnotations"] = json!(annotations);
    }
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "PodCertificateRequest",
        "metadata": {
            "namespace": whom.namespace,
            "generateName": "req-",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": whom.pod, "uid": whom.pod_uid}],
        },
        "spec": spec,
    })
}
