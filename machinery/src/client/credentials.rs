//! The `Authorization` header as it is now: tokens are read again when they rotate.

use std::time::{Duration, Instant};

use base64::Engine as _;
use http::HeaderValue;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::Credentials;
use super::exec::ExecStatus;
use super::tls::ExecIdentity;

/// How long a token file's content is trusted, as in client-go.
const TOKEN_FILE_PERIOD: Duration = Duration::from_secs(60);
/// client-go runs a plugin again this early.
const EXPIRY_LEEWAY: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What is in hand now.
#[derive(Default)]
struct Held {
    header: Option<HeaderValue>,
    read_at: Option<Instant>,
    expires: Option<Timestamp>,
}

/// Keeps the header up to date.
pub(super) struct Keeper {
    kind: Credentials,
    held: Mutex<Held>,
}

impl Keeper {
    pub(super) fn new(kind: Credentials) -> Self {
        Keeper {
            kind,
            held: Mutex::default(),
        }
    }

    /// The header to send, if any. An exec plugin's certificate goes to `identity`.
    pub(super) async fn header(&self, identity: &ExecIdentity) -> Result<Option<HeaderValue>, String> {
        match &self.kind {
            Credentials::None => return Ok(None),
            Credentials::Live(token) => return bearer(&token.get()).map(Some),
            Credentials::Exec(_)
            | Credentials::TokenFile(_)
            | Credentials::Token(_)
            | Credentials::Basic { .. } => {}
        }
        let mut held = self.held.lock().await;
        match &self.kind {
            Credentials::None | Credentials::Live(_) => {}
            Credentials::Token(token) => {
                if held.header.is_none() {
                    held.header = Some(bearer(token)?);
                }
            }
            Credentials::Basic { user, password } => {
                if held.header.is_none() {
                    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                    held.header = Some(sensitive(format!("Basic {pair}"))?);
                }
            }
            Credentials::TokenFile(path) => {
                if held.read_at.is_none_or(|at| at.elapsed() >= TOKEN_FILE_PERIOD) {
                    held.read_at = Some(Instant::now());
                    match tokio::fs::read_to_string(path).await {
                        Ok(token) if !token.trim().is_empty() => held.header = Some(bearer(token.trim())?),
                        // The last token stays good: https://github.com/kubernetes/kubernetes/issues/68164
                        Ok(_) if held.header.is_some() => {}
                        Err(_) if held.header.is_some() => {}
                        Ok(_) => {
                            held.read_at = None;
                            return Err(format!("token file {} is empty", path.display()));
                        }
                        Err(cause) => {
                            held.read_at = None;
                            return Err(format!("cannot read the token file {}: {cause}", path.display()));
                        }
                    }
                }
            }
            Credentials::Exec(plugin) => {
                let expired = held
                    .expires
                    .is_some_and(|at| Timestamp::now() + EXPIRY_LEEWAY >= at);
                if held.read_at.is_none() || expired {
                    let ExecStatus {
                        expiration_timestamp,
                        token,
                        client_certificate_data,
                        client_key_data,
                    } = plugin.run().await?;
                    held.header = token
                        .as_deref()
                        .filter(|token| !token.is_empty())
                        .map(bearer)
                        .transpose()?;
                    held.expires = expiration_timestamp;
                    held.read_at = Some(Instant::now());
                    if let (Some(certificate), Some(key)) = (client_certificate_data, client_key_data) {
                        identity.set(certificate.into_bytes(), key.into_bytes());
                    }
                }
            }
        }
        Ok(held.header.clone())
    }

    /// The server said 401: read the credentials anew before the next request. Returns whether that may help.
    pub(super) async fn refuse(&self, sent: Option<&HeaderValue>) -> bool {
        match &self.kind {
            Credentials::TokenFile(_) | Credentials::Exec(_) => {
                let mut held = self.held.lock().await;
                // Another request may have brought new ones in the meantime.
                if held.header.as_ref() == sent {
                    held.read_at = None;
                }
                true
            }
            Credentials::None | Credentials::Live(_) | Credentials::Token(_) | Credentials::Basic { .. } => {
                false
            }
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    sensitive(format!("Bearer {token}"))
}

fn sensitive(text: String) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::try_from(text).map_err(|_| "the token has characters that no header may have")?;
    value.set_sensitive(true);
    Ok(value)
}
