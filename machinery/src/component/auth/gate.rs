//! The gate before a component's routes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::cache::Expiring;
use super::identity::{Identity, MASTERS};
use super::reviews::{Reviews, TokenVerdict};

/// What is asked for, in the authorizer's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Attributes {
    /// A resource of the API.
    Resource {
        verb: String,
        group: String,
        version: String,
        resource: String,
        subresource: String,
        namespace: String,
        name: String,
    },
    /// A path that is no resource.
    Path { verb: String, path: String },
}

impl Attributes {
    /// The attributes of a request that is for a path and nothing else.
    #[must_use]
    pub fn of_path(parts: &Parts) -> Self {
        Self::Path {
            verb: parts.method.as_str().to_ascii_lowercase(),
            path: parts.uri.path().to_owned(),
        }
    }
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Nobody knows who asks.
    Unauthorized,
    /// The user may not do this; the text says who may not do what.
    Forbidden(String),
    /// The API server could not be asked.
    Unavailable(String),
}

impl Rejection {
    /// Its status code and text.
    #[must_use]
    pub fn parts(&self) -> (StatusCode, String) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
            Self::Unavailable(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.clone()),
        }
    }
}

/// How the gate decides.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// Whether a request without credentials is the anonymous user's, or refused.
    pub anonymous: bool,
    /// Whether bearer tokens are reviewed.
    pub tokens: bool,
    /// Whether access is reviewed; otherwise everyone who is known may do everything.
    pub authorize: bool,
    /// Paths that everybody may get, `/healthz` for one. A `*` at the end stands for what follows.
    pub always_allow: Vec<String>,
    /// How long a token's verdict holds.
    pub token_ttl: Duration,
    /// How long a yes holds.
    pub allowed_ttl: Duration,
    /// How long a no holds.
    pub denied_ttl: Duration,
}

impl Default for GateConfig {
    /// The defaults of upstream's delegated options.
    fn default() -> Self {
        Self {
            anonymous: true,
            tokens: true,
            authorize: true,
            always_allow: ["/healthz", "/readyz", "/livez"].map(str::to_owned).into(),
            token_ttl: Duration::from_secs(10),
            allowed_ttl: Duration::from_secs(10),
            denied_ttl: Duration::from_secs(10),
        }
    }
}

type TokenKey = [u8; 32];

/// Decides who a request is from and whether it is served.
pub struct Gate {
    config: GateConfig,
    reviews: Option<Arc<dyn Reviews>>,
    tokens: Expiring<TokenKey, TokenVerdict>,
    access: Expiring<(Identity, Attributes), bool>,
}

impl Gate {
    /// A gate that asks `reviews`. Without it tokens are nobody's, and where access is reviewed only
    /// the group `system:masters` gets in.
    #[must_use]
    pub fn new(config: GateConfig, reviews: Option<Arc<dyn Reviews>>) -> Self {
        Self {
            config,
            reviews,
            tokens: Expiring::new(1_024),
            access: Expiring::new(4_096),
        }
    }

    /// Whether a request is served, and whose it is. It is where one of `attributes` is allowed: a
    /// request that several rules cover lists the narrower first.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn admit(&self, parts: &Parts, attributes: &[Attributes]) -> Result<Identity, Rejection> {
        if self.is_always_allowed(parts.uri.path()) {
            return Ok(Identity::anonymous());
        }
        let identity = self.authenticate(parts).await?;
        if !self.config.authorize || identity.groups.iter().any(|group| group == MASTERS) {
            return Ok(identity);
        }
        for wanted in attributes {
            if self.may(&identity, wanted).await? {
                return Ok(identity);
            }
        }
        Err(Rejection::Forbidden(forbidden(&identity, attributes.first())))
    }

    fn is_always_allowed(&self, path: &str) -> bool {
        self.config
            .always_allow
            .iter()
            .any(|allowed| match allowed.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == allowed,
            })
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Identity, Rejection> {
        if let Some(identity) = parts.extensions.get::<Arc<Identity>>() {
            return Ok(Identity::clone(identity));
        }
        if let Some(token) = bearer(parts).filter(|_| self.config.tokens) {
            return self.authenticate_token(token).await;
        }
        if self.config.anonymous {
            Ok(Identity::anonymous())
        } else {
            Err(Rejection::Unauthorized)
        }
    }

    async fn authenticate_token(&self, token: &str) -> Result<Identity, Rejection> {
        let key: TokenKey = Sha256::digest(token.as_bytes()).into();
        let verdict = match self.tokens.get(&key, Instant::now()) {
            Some(verdict) => verdict,
            None => {
                let Some(reviews) = &self.reviews else {
                    return Err(Rejection::Unauthorized);
                };
                let verdict = reviews.token(token).await.map_err(|error| {
                    warn!(%error, "a request's token could not be reviewed");
                    Rejection::Unauthorized
                })?;
                self.tokens
                    .put(key, verdict.clone(), Instant::now(), self.config.token_ttl);
                verdict
            }
        };
        match verdict {
            TokenVerdict::Known(identity) => Ok(identity),
            TokenVerdict::Unknown => Err(Rejection::Unauthorized),
        }
    }

    async fn may(&self, identity: &Identity, attributes: &Attributes) -> Result<bool, Rejection> {
        let key = (identity.clone(), attributes.clone());
        if let Some(allowed) = self.access.get(&key, Instant::now()) {
            return Ok(allowed);
        }
        let Some(reviews) = &self.reviews else {
            return Ok(false);
        };
        let allowed = reviews.access(identity, attributes).await.map_err(|error| {
            warn!(%error, user = identity.user, "a request could not be authorized");
            Rejection::Unavailable(format!("Authorization error ({error})"))
        })?;
        let ttl = if allowed {
            self.config.allowed_ttl
        } else {
            self.config.denied_ttl
        };
        self.access.put(key, allowed, Instant::now(), ttl);
        Ok(allowed)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

fn forbidden(identity: &Identity, attributes: Option<&Attributes>) -> String {
    let user = &identity.user;
    match attributes {
        Some(Attributes::Resource {
            verb,
            resource,
            subresource,
            name,
            ..
        }) => {
            let subresource = if subresource.is_empty() {
                String::new()
            } else {
                format!(", subresource={subresource}")
            };
            format!("Forbidden (user={user}, verb={verb}, resource={resource}{subresource}, name={name})")
        }
        Some(Attributes::Path { verb, path }) => format!("Forbidden (user={user}, verb={verb}, path={path})"),
        None => format!("Forbidden (user={user})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ApiError;
    use futures::future::BoxFuture;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Knows the token "good" as ann, who may get /metrics.
    #[derive(Default)]
    struct Fake(AtomicUsize);
    impl Reviews for Fake {
        fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenVerdict, ApiError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let ann = Identity {
                user: "ann".into(),
                ..Identity::default()
            };
            let verdict = if token == "good" {
                TokenVerdict::Known(ann)
            } else {
                TokenVerdict::Unknown
            };
            Box::pin(async move { Ok(verdict) })
        }
        fn access<'a>(
            &'a self,
            identity: &'a Identity,
            attributes: &'a Attributes,
        ) -> BoxFuture<'a, Result<bool, ApiError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let metrics = Attributes::Path {
                verb: "get".into(),
                path: "/metrics".into(),
            };
            let allowed = identity.user == "ann" && *attributes == metrics;
            Box::pin(async move { Ok(allowed) })
        }
    }

    fn request(path: &str, token: Option<&str>) -> Parts {
        let mut request = http::Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(()).unwrap().into_parts().0
    }

    async fn ask(gate: &Gate, path: &str, token: Option<&str>) -> Result<String, Rejection> {
        let parts = request(path, token);
        gate.admit(&parts, &[Attributes::of_path(&parts)])
            .await
            .map(|identity| identity.user)
    }

    #[tokio::test]
    async fn who_gets_in_where() {
        let gate = Gate::new(GateConfig::default(), Some(Arc::new(Fake::default())));
        assert_eq!(ask(&gate, "/healthz", None).await, Ok("system:anonymous".into()));
        assert_eq!(ask(&gate, "/metrics", Some("good")).await, Ok("ann".into()));
        assert_eq!(
            ask(&gate, "/metrics", Some("bad")).await,
            Err(Rejection::Unauthorized)
        );
        assert!(matches!(
            ask(&gate, "/metrics", None).await,
            Err(Rejection::Forbidden(_))
        ));
        assert!(matches!(
            ask(&gate, "/configz", Some("good")).await,
            Err(Rejection::Forbidden(_))
        ));
        let strict = Gate::new(
            GateConfig {
                anonymous: false,
                ..GateConfig::default()
            },
            None,
        );
        assert_eq!(ask(&strict, "/metrics", None).await, Err(Rejection::Unauthorized));
    }

    #[tokio::test]
    async fn verdicts_are_asked_for_once() {
        let fake = Arc::new(Fake::default());
        let gate = Gate::new(GateConfig::default(), Some(fake.clone()));
        for _ in 0..5 {
            ask(&gate, "/metrics", Some("good")).await.unwrap();
        }
        assert_eq!(fake.0.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_certificate_of_the_masters_needs_no_review() {
        let gate = Gate::new(GateConfig::default(), None);
        let mut parts = request("/metrics", None);
        let admin = Identity {
            user: "admin".into(),
            groups: vec![MASTERS.into()],
            ..Identity::default()
        };
        parts.extensions.insert(Arc::new(admin));
        assert_eq!(gate.admit(&parts, &[]).await.unwrap().user, "admin");
    }
}
