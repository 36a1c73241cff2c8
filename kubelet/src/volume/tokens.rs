//! Service account tokens for projected volumes: requested for one pod, kept until it is time for a new one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use machinery::client::{BoundObject, Client, TokenRequest};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tracing::debug;

use crate::node::follow::words;

/// A token is renewed when so much of its life is over...
const SHARE: f64 = 0.8;
/// ...or when it is this old, whichever comes first.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Tokens that were issued together are not all renewed together.
const SPREAD_SECONDS: f64 = 10.0;
/// The authorizer may hear a moment after us that the pod is ours: until then it refuses.
const PAUSES_MS: [u64; 4] = [20, 40, 80, 160];
/// What the API server gives to those who do not say.
const DEFAULT_SECONDS: i64 = 3600;

#[derive(Clone, Debug)]
struct Token {
    text: Arc<str>,
    expires: Timestamp,
    renew: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    uid: Arc<str>,
    audience: Box<str>,
    seconds: i64,
}

/// When a token that lives from `expires - seconds` until `expires` is to be renewed; `spread` is within 0 to 1.
fn renewal(expires: Timestamp, seconds: i64, spread: f64) -> Timestamp {
    let life = SignedDuration::from_secs(seconds);
    let issued = expires.checked_sub(life).unwrap_or(expires);
    let wait = life.mul_f64(SHARE).min(LONGEST) - SignedDuration::from_secs_f64(SPREAD_SECONDS * spread);
    issued.checked_add(wait).unwrap_or(expires)
}

/// The tokens of this node's pods.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<FxHashMap<Id, Token>>,
}

impl Tokens {
    /// The token that `wanted` asks for on behalf of `pod`, and when to ask again.
    ///
    /// # Errors
    /// If there is none that is still good. A failed renewal is no error while the old token is.
    pub(super) async fn get(
        &self,
        client: Option<&Client>,
        uid: &Arc<str>,
        pod: &core::Pod,
        wanted: &core::ServiceAccountTokenProjection,
    ) -> Result<(Arc<str>, Timestamp), String> {
        let id = Id {
            uid: Arc::clone(uid),
            audience: wanted.audience.as_deref().unwrap_or_default().into(),
            seconds: wanted.expiration_seconds.unwrap_or(DEFAULT_SECONDS),
        };
        let now = Timestamp::now();
        let known = self.known.lock().get(&id).cloned();
        if let Some(token) = known.as_ref().filter(|token| now < token.renew) {
            return Ok((Arc::clone(&token.text), token.renew));
        }
        let client = client.ok_or("cannot fetch a token without an API server")?;
        match request(client, &id, pod).await {
            Ok(token) => {
                let answer = (Arc::clone(&token.text), token.renew);
                self.known.lock().insert(id, token);
                Ok(answer)
            }
            Err(error) => match known {
                None => Err(format!("failed to fetch token: {error}")),
                Some(token) if now < token.expires => {
                    debug!(pod = ?pod.metadata.name, %error, "cannot renew a token yet; the old one is still good");
                    let retry = now
                        .checked_add(SignedDuration::from_secs(30))
                        .unwrap_or(token.expires);
                    Ok((token.text, retry))
                }
                Some(_) => Err(format!("token expired and refresh failed: {error}")),
            },
        }
    }

    /// Forgets the tokens of a pod.
    pub(super) fn forget(&self, uid: &str) {
        self.known.lock().retain(|id, _| &*id.uid != uid);
    }
}

async fn request(client: &Client, id: &Id, pod: &core::Pod) -> Result<Token, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref());
    let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
    let wanted = TokenRequest {
        audiences: Some(id.audience.to_string())
            .into_iter()
            .filter(|audience| !audience.is_empty())
            .collect(),
        expiration_seconds: Some(id.seconds),
        bound_object_ref: Some(BoundObject {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: pod.metadata.name.as_deref().unwrap_or_default().into(),
            uid: (&*id.uid).into(),
        }),
    };
    let mut pauses = PAUSES_MS.iter();
    let (issued, answer) = loop {
        let issued = Timestamp::now();
        match client.create_token(namespace, account, &wanted).await {
            Ok(answer) => break (issued, answer),
            Err(error) => match pauses.next() {
                Some(pause) if error.is_forbidden() || error.is_not_found() => {
                    debug!(pod = ?pod.metadata.name, %error, "no token yet");
                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                }
                _ => return Err(words(&error)),
            },
        }
    };
    let expires = answer.expiration_timestamp.0;
    // The API server may give it another life than we asked for.
    let seconds = expires.duration_since(issued).as_secs();
    Ok(Token {
        text: answer.token.into(),
        expires,
        renew: renewal(expires, seconds, rand::random()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_its_last_fifth_and_at_least_daily() {
        let expires: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        for (seconds, spread, want) in [
            (3600, 0.0, "2026-01-09T23:48:00Z"),
            (3600, 1.0, "2026-01-09T23:47:50Z"),
            (600, 0.0, "2026-01-09T23:58:00Z"),
            (5 * 86400, 0.0, "2026-01-06T00:00:00Z"),
        ] {
            assert_eq!(
                renewal(expires, seconds, spread).to_string(),
                want,
                "{seconds} {spread}"
            );
        }
    }
}
