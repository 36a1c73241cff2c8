//! What a request may ask for beside its object.

use serde::{Deserialize, Serialize};

use crate::meta::ListMeta;

/// Options of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListOptions {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Page size; the server's choice if `None`.
    pub limit: Option<u32>,
    pub continue_token: Option<String>,
    /// `""` asks for the newest (a quorum read), `"0"` for whatever the server has at hand.
    pub resource_version: Option<String>,
    pub resource_version_match: Option<&'static str>,
}

impl ListOptions {
    /// Only objects whose labels match `selector`.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into()).filter(|selector| !selector.is_empty());
        self
    }

    /// Only objects whose fields match `selector`: `spec.nodeName=n1`.
    #[must_use]
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.field_selector = Some(selector.into()).filter(|selector| !selector.is_empty());
        self
    }

    /// At most `limit` objects a page.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whatever the server's cache holds, without a read from etcd.
    #[must_use]
    pub fn from_cache(mut self) -> Self {
        self.resource_version = Some("0".into());
        self
    }

    pub(crate) fn query(&self, query: &mut Query) {
        query.add("labelSelector", self.label_selector.as_deref());
        query.add("fieldSelector", self.field_selector.as_deref());
        if let Some(limit) = self.limit {
            query.add("limit", Some(&limit.to_string()));
        }
        query.add("continue", self.continue_token.as_deref());
        query.add("resourceVersion", self.resource_version.as_deref());
        query.add("resourceVersionMatch", self.resource_version_match);
    }
}

/// A page, or all, of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct List<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "items")]
    pub items: Vec<T>,
}

fn items<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Options of a create, update or patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The server takes it from the user agent if `None`; server-side apply needs one.
    pub field_manager: Option<String>,
    /// Server-side apply only: take fields over from other managers.
    pub force: bool,
    pub dry_run: bool,
}

impl WriteOptions {
    pub(crate) fn query(&self, query: &mut Query) {
        query.add("fieldManager", self.field_manager.as_deref());
        if self.force {
            query.add("force", Some("true"));
        }
        if self.dry_run {
            query.add("dryRun", Some("All"));
        }
    }
}

/// How the body of a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge patch.
    Strategic,
    /// RFC 6902.
    Json,
    /// Server-side apply; needs a field manager.
    Apply,
}

impl PatchKind {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// Delete only if the object is still this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<Propagation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
}

impl DeleteOptions {
    /// Only the object with this uid, not a later one of the same name.
    #[must_use]
    pub fn uid(mut self, uid: impl Into<String>) -> Self {
        self.preconditions.get_or_insert_default().uid = Some(uid.into());
        self
    }

    /// Only at this resource version.
    #[must_use]
    pub fn resource_version(mut self, version: impl Into<String>) -> Self {
        self.preconditions.get_or_insert_default().resource_version = Some(version.into());
        self
    }

    /// Seconds that a pod gets to end; 0 deletes at once.
    #[must_use]
    pub fn grace(mut self, seconds: i64) -> Self {
        self.grace_period_seconds = Some(seconds);
        self
    }

    /// What becomes of the objects that this one owns.
    #[must_use]
    pub fn propagation(mut self, policy: Propagation) -> Self {
        self.propagation_policy = Some(policy);
        self
    }
}

/// A query string in the making.
#[derive(Default)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn add(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for &byte in value.as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
                self.0.push(byte as char);
            } else {
                use std::fmt::Write as _;
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }

    pub(crate) fn appended_to(&self, mut path: String) -> String {
        path.push_str(&self.0);
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_percent_encoded() {
        let mut query = Query::default();
        ListOptions::default()
            .labels("app in (a,b)")
            .fields("spec.nodeName=n1")
            .limit(5)
            .query(&mut query);
        assert_eq!(
            query.appended_to("/api/v1/pods".into()),
            "/api/v1/pods?labelSelector=app%20in%20%28a,b%29&fieldSelector=spec.nodeName%3Dn1&limit=5"
        );
    }

    #[test]
    fn delete_options_have_upstreams_form() {
        let options = DeleteOptions::default()
            .uid("u")
            .grace(0)
            .propagation(Propagation::Background);
        assert_eq!(
            serde_json::to_string(&options).unwrap(),
            r#"{"gracePeriodSeconds":0,"propagationPolicy":"Background","preconditions":{"uid":"u"}}"#
        );
    }
}
