//! What the API server is asked: TokenReview (authentication.k8s.io/v1) and SubjectAccessReview
//! (authorization.k8s.io/v1).

use futures::future::BoxFuture;

use super::gate::Attributes;
use super::identity::{AUTHENTICATED, Identity};
use crate::client::{AccessReview, ApiError, Client, NonResourceAttributes, ResourceAttributes, Review};

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
    /// Whose token this is.
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenVerdict, ApiError>>;

    /// Whether the user may do this.
    fn access<'a>(
        &'a self,
        identity: &'a Identity,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<bool, ApiError>>;
}

impl Reviews for Client {
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenVerdict, ApiError>> {
        Box::pin(async move { Ok(verdict(self.review_token(token, &[]).await?)) })
    }

    fn access<'a>(
        &'a self,
        identity: &'a Identity,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(async move { Ok(self.review_access(&access_review(identity, attributes)).await?.0) })
    }
}

fn verdict(review: Review) -> TokenVerdict {
    if !review.authenticated {
        return TokenVerdict::Unknown;
    }
    let user = review.user;
    let mut groups = user.groups;
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.into());
    }
    TokenVerdict::Known(Identity {
        user: user.username,
        uid: user.uid,
        groups,
        extra: user.extra,
    })
}

fn access_review(identity: &Identity, attributes: &Attributes) -> AccessReview {
    let mut review = AccessReview {
        user: identity.user.clone(),
        groups: identity.groups.clone(),
        uid: identity.uid.clone(),
        extra: identity.extra.clone(),
        ..AccessReview::default()
    };
    match attributes.clone() {
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        } => {
            review.resource_attributes = Some(ResourceAttributes {
                namespace,
                verb,
                group,
                version,
                resource,
                subresource,
                name,
            });
        }
        Attributes::Path { verb, path } => {
            review.non_resource_attributes = Some(NonResourceAttributes { path, verb });
        }
    }
    review
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn reads_a_token_review() {
        let known = json!({"authenticated": true, "user": {"username": "ann", "groups": ["dev"]}});
        let TokenVerdict::Known(identity) = verdict(from_value(known).unwrap()) else {
            panic!("known")
        };
        assert_eq!((identity.user.as_str(), identity.groups.len()), ("ann", 2));
        assert_eq!(
            verdict(from_value(json!({"error": "bad"})).unwrap()),
            TokenVerdict::Unknown
        );
    }

    #[test]
    fn writes_an_access_review() {
        let attributes = Attributes::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let review = serde_json::to_value(access_review(&Identity::anonymous(), &attributes)).unwrap();
        assert_eq!(review["nonResourceAttributes"]["path"], "/metrics");
        assert_eq!(review["user"], "system:anonymous");
    }
}
