//! What the API server is asked: TokenReview (authentication.k8s.io/v1) and SubjectAccessReview
//! (authorization.k8s.io/v1).

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gate::Attributes;
use super::identity::{AUTHENTICATED, Identity};

/// A review that could not be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("asking the API server for a {kind}: {why}")]
pub struct ReviewError {
    /// Which review.
    pub kind: &'static str,
    /// Why it failed.
    pub why: String,
}

/// What a TokenReview said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// The token is this user's.
    Known(Identity),
    /// The token is nobody's.
    Unknown,
}

/// Whoever answers reviews; the API server's client does.
pub trait Reviews: Send + Sync + 'static {
    /// Posts `review` to `path` and returns the answer's body.
    fn post<'a>(&'a self, path: &'static str, review: Value) -> BoxFuture<'a, Result<Value, String>>;
}

pub(super) async fn token(reviews: &dyn Reviews, token: &str) -> Result<TokenVerdict, ReviewError> {
    let error = |why| ReviewError {
        kind: "TokenReview",
        why,
    };
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let answer = reviews
        .post("/apis/authentication.k8s.io/v1/tokenreviews", review)
        .await
        .map_err(error)?;
    read_token(answer).map_err(|why| error(why.to_string()))
}

fn read_token(answer: Value) -> Result<TokenVerdict, serde_json::Error> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        status: Status,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Status {
        authenticated: bool,
        user: User,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct User {
        username: String,
        uid: String,
        groups: Vec<String>,
        extra: BTreeMap<String, Vec<String>>,
    }
    let Status { authenticated, user } = serde_json::from_value::<Answer>(answer)?.status;
    if !authenticated {
        return Ok(TokenVerdict::Unknown);
    }
    let mut groups = user.groups;
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.into());
    }
    Ok(TokenVerdict::Known(Identity {
        user: user.username,
        uid: user.uid,
        groups,
        extra: user.extra,
    }))
}

pub(super) async fn access(
    reviews: &dyn Reviews,
    identity: &Identity,
    attributes: &Attributes,
) -> Result<bool, ReviewError> {
    let error = |why| ReviewError {
        kind: "SubjectAccessReview",
        why,
    };
    let answer = reviews
        .post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            access_review(identity, attributes),
        )
        .await
        .map_err(error)?;
    Ok(answer
        .pointer("/status/allowed")
        .and_then(Value::as_bool)
        .unwrap_or(false))
}

fn access_review(identity: &Identity, attributes: &Attributes) -> Value {
    let mut spec = json!({
        "user": identity.user, "uid": identity.uid, "groups": identity.groups, "extra": identity.extra,
    });
    match attributes {
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        } => {
            spec["resourceAttributes"] = json!({
                "verb": verb, "group": group, "version": version, "resource": resource,
                "subresource": subresource, "namespace": namespace, "name": name,
            });
        }
        Attributes::Path { verb, path } => {
            spec["nonResourceAttributes"] = json!({"verb": verb, "path": path})
        }
    }
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_token_review() {
        let known =
            json!({"status": {"authenticated": true, "user": {"username": "ann", "groups": ["dev"]}}});
        let TokenVerdict::Known(identity) = read_token(known).unwrap() else {
            panic!("known")
        };
        assert_eq!((identity.user.as_str(), identity.groups.len()), ("ann", 2));
        assert_eq!(
            read_token(json!({"status": {"error": "bad"}})).unwrap(),
            TokenVerdict::Unknown
        );
    }

    #[test]
    fn writes_an_access_review() {
        let attributes = Attributes::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let review = access_review(&Identity::anonymous(), &attributes);
        assert_eq!(review["spec"]["nonResourceAttributes"]["path"], "/metrics");
        assert_eq!(review["spec"]["user"], "system:anonymous");
    }
}
