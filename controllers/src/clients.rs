//! A client for each controller: named after it, and with `--use-service-account-credentials` under a service account of its own.

use machinery::client::{ApiError, Client, Credentials, LiveToken, TokenRequest, TokenStatus};
use machinery::meta::PartialObject;
use machinery::meta::resources::SERVICE_ACCOUNTS;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "kube-system";
/// How long a token is asked for.
const LIFETIME: i64 = 3600;
/// Between tries when a token cannot be had.
const RETRY: Duration = Duration::from_secs(5);

/// Makes the controllers' clients.
#[derive(Clone)]
pub struct Clients {
    base: Client,
    accounts: bool,
}

impl Clients {
    /// All act as `base`, or each under its own service account.
    pub fn new(base: &Client, accounts: bool) -> Self {
        Self {
            base: base.clone(),
            accounts,
        }
    }

    /// The client of a controller. With service accounts this waits until its first token is there, and renews it until `stop`.
    pub async fn named(&self, account: &'static str, stop: &CancellationToken) -> Client {
        if !self.accounts {
            return self.base.clone();
        }
        let (live, mut due) = loop {
            match self.token(account).await {
                Ok(token) => break (LiveToken::new(&token.token), renewal(&token)),
                Err(error) => {
                    tracing::warn!(
                        account,
                        "no token for the controller's service account yet: {error}"
                    );
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        let mut config = self.base.config().clone();
        config.identity = None;
        config.credentials = Credentials::Live(live.clone());
        config.user_agent = format!("{}/{account}", config.user_agent);
        let client = match Client::new(config) {
            Ok(client) => client,
            Err(problem) => {
                tracing::error!(account, "using the manager's own credentials: {problem}");
                return self.base.clone();
            }
        };
        let (this, stop) = (self.clone(), stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                tokio::time::sleep(due).await;
                due = match this.token(account).await {
                    Ok(token) => {
                        live.set(&token.token);
                        renewal(&token)
                    }
                    Err(error) => {
                        tracing::warn!(
                            account,
                            "cannot renew the token of the controller's service account: {error}"
                        );
                        RETRY
                    }
                };
            }
        }));
        client
    }

    async fn token(&self, account: &str) -> Result<TokenStatus, ApiError> {
        let request = TokenRequest {
            expiration_seconds: Some(LIFETIME),
            ..TokenRequest::default()
        };
        match self.base.create_token(NAMESPACE, account, &request).await {
            Err(missing) if missing.is_not_found() => {
                let body = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account, "namespace": NAMESPACE } });
                match self
                    .base
                    .create::<PartialObject, _>(&SERVICE_ACCOUNTS, NAMESPACE, &body)
                    .await
                {
                    Err(error) if !error.is_already_exists() => return Err(error),
                    _ => {}
                }
                self.base.create_token(NAMESPACE, account, &request).await
            }
            other => other,
        }
    }
}

/// When to ask for the next token: after four fifths of this one's time.
fn renewal(token: &TokenStatus) -> Duration {
    let left = token
        .expiration_timestamp
        .0
        .duration_since(jiff::Timestamp::now());
    left.unsigned_abs().mul_f64(0.8).max(RETRY)
}
