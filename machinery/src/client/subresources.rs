//! Subresources, and the reviews with which a server asks who somebody is and what they may do.

use http::Method;
use hyper::body::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Client, DeleteOptions, PatchKind};
use crate::meta::resources::{PODS, SERVICE_ACCOUNTS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS};
use crate::meta::{Istr, Resource, Time};

const JSON: &str = "application/json";

fn sub(resource: &Resource, namespace: &str, name: &str, subresource: &str) -> String {
    let mut path = resource.object_path(namespace, name);
    path.push('/');
    path.push_str(subresource);
    path
}

impl Client {
    /// Reads a subresource: `scale`.
    pub async fn get_sub<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
    ) -> Result<T, ApiError> {
        self.send(
            Method::GET,
            &sub(resource, namespace, name, subresource),
            JSON,
            Bytes::new(),
        )
        .await
    }

    /// Posts to a subresource: `binding`, `eviction`, `token`.
    pub async fn create_sub<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(
            Method::POST,
            sub(resource, namespace, name, subresource),
            JSON,
            body,
        )
        .await
    }

    /// Replaces a subresource: `status`, `scale`, `finalize`.
    pub async fn update_sub<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(
            Method::PUT,
            sub(resource, namespace, name, subresource),
            JSON,
            body,
        )
        .await
    }

    /// Changes a subresource: `status`.
    pub async fn patch_sub<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(
            Method::PATCH,
            sub(resource, namespace, name, subresource),
            kind.content_type(),
            body,
        )
        .await
    }

    /// Replaces the status, if the object's resource version is still the body's.
    pub async fn update_status<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.update_sub(resource, namespace, name, "status", body).await
    }

    /// Changes the status.
    pub async fn patch_status<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        kind: PatchKind,
        body: &B,
    ) -> Result<T, ApiError> {
        self.patch_sub(resource, namespace, name, "status", kind, body)
            .await
    }

    /// Binds a pod to a node, if it is still the pod with this uid.
    pub async fn bind(&self, namespace: &str, pod: &str, uid: &str, node: &str) -> Result<(), ApiError> {
        let body = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": { "name": pod, "namespace": namespace, "uid": uid },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        });
        self.create_sub::<IgnoredAny, _>(&PODS, namespace, pod, "binding", &body)
            .await
            .map(|_| ())
    }

    /// Asks for a pod to be evicted; a disruption budget may stand against it (429).
    pub async fn evict(&self, namespace: &str, pod: &str, options: &DeleteOptions) -> Result<(), ApiError> {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": pod, "namespace": namespace },
            "deleteOptions": options,
        });
        self.create_sub::<IgnoredAny, _>(&PODS, namespace, pod, "eviction", &body)
            .await
            .map(|_| ())
    }

    /// Asks for a token of a service account.
    pub async fn create_token(
        &self,
        namespace: &str,
        service_account: &str,
        request: &TokenRequest,
    ) -> Result<TokenStatus, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            status: TokenStatus,
        }
        let body =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": request });
        let answer: Answer = self
            .create_sub(&SERVICE_ACCOUNTS, namespace, service_account, "token", &body)
            .await?;
        Ok(answer.status)
    }

    /// Asks whose token this is; `None` if it is nobody's.
    pub async fn review_token(&self, token: &str, audiences: &[&str]) -> Result<Review, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            status: Review,
        }
        let mut spec = json!({ "token": token });
        if !audiences.is_empty() {
            spec["audiences"] = json!(audiences);
        }
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
        let answer: Answer = self.create(&TOKEN_REVIEWS, "", &body).await?;
        Ok(answer.status)
    }

    /// Asks whether a user may do something: whether it is allowed, and why not.
    pub async fn review_access(&self, review: &AccessReview) -> Result<(bool, String), ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            status: Verdict,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Verdict {
            allowed: bool,
            reason: String,
        }
        let body =
            json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": review });
        let answer: Answer = self.create(&SUBJECT_ACCESS_REVIEWS, "", &body).await?;
        Ok((answer.status.allowed, answer.status.reason))
    }
}

/// `TokenRequestSpec` of `authentication.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenRequest {
    /// The API server's own audience if empty.
    pub audiences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_seconds: Option<i64>,
    /// The pod, secret or node whose life bounds the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_object_ref: Option<BoundObject>,
}

/// `BoundObjectReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BoundObject {
    pub kind: Istr,
    pub api_version: Istr,
    pub name: Istr,
    pub uid: Istr,
}

/// A token and when it ends.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    pub token: String,
    pub expiration_timestamp: Time,
}

/// The answer to a token review.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Review {
    pub authenticated: bool,
    pub user: UserInfo,
    pub audiences: Vec<String>,
    pub error: String,
}

/// Whom a token or certificate stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    pub username: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// `SubjectAccessReviewSpec`: exactly one of the two kinds of attributes is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessReview {
    pub user: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_attributes: Option<ResourceAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_resource_attributes: Option<NonResourceAttributes>,
}

/// A verb on an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAttributes {
    pub namespace: String,
    pub verb: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
}

/// A verb on a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NonResourceAttributes {
    pub path: String,
    pub verb: String,
}
