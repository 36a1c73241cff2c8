//! CertificateSigningRequests as they are read here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::meta::{Istr, Object, ObjectMeta, Time, null_default};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A certificates.k8s.io/v1 `CertificateSigningRequest`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SigningRequest {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    pub status: Status,
}

impl Object for SigningRequest {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// A PKCS #10 request in PEM, in base64.
    request: Box<str>,
    pub signer_name: Istr,
    #[serde(deserialize_with = "null_default")]
    pub usages: Vec<Istr>,
    pub username: String,
    pub uid: String,
    #[serde(deserialize_with = "null_default")]
    pub groups: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub extra: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<Condition>,
    /// In PEM, in base64.
    certificate: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Istr,
    pub last_update_time: Option<Time>,
}

impl SigningRequest {
    /// The request in PEM.
    pub fn request(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.spec.request.as_bytes()).ok()
    }

    /// The certificate in PEM, if there is one.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        if self.status.certificate.is_empty() {
            return None;
        }
        STANDARD.decode(self.status.certificate.as_bytes()).ok()
    }

    /// Whether a certificate was issued.
    pub fn is_issued(&self) -> bool {
        !self.status.certificate.is_empty()
    }

    /// When the condition of this type was last written, if it is set.
    pub fn told(&self, kind: &str) -> Option<Option<Time>> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
            .map(|condition| condition.last_update_time)
    }
}
