//! Watches and writes. It acts as the manager itself, as upstream's does: other controllers may need the tokens.

use super::plan::{ACCOUNT_NAME, ACCOUNT_UID, Lacks, TokenSecret};
use super::sign::Signer;
use crate::context::Context;
use crate::rewrite;
use crate::work::until_stopped;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::cache::{Cache, Event};
use machinery::client::{Client, DeleteOptions};
use machinery::meta::resources::{SECRETS, SERVICE_ACCOUNTS};
use machinery::meta::{Istr, ObjectKey, ObjectMeta, PartialObject};
use machinery::queue::{Next, Queue};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const WORKERS: usize = 5;
const ISSUER: &str = "kubernetes/serviceaccount";
/// How often an object is tried again before it waits for its next event.
const RETRIES: u32 = 10;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Secret(ObjectKey),
    /// A Secret that is gone, and the account that may list it.
    Gone {
        secret: ObjectKey,
        account: Istr,
    },
    /// An account that is gone.
    Account {
        key: ObjectKey,
        uid: Istr,
    },
}

struct Controller {
    client: Client,
    signer: Signer,
    /// In base64.
    authority: Option<String>,
    secrets: Cache<TokenSecret>,
    accounts: Cache<PartialObject>,
    queue: Queue<Item>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let Some(path) = &context.config.service_account_private_key_file else {
        tracing::warn!("no tokens are put into Secrets: that takes --service-account-private-key-file");
        return context.stop.cancelled().await;
    };
    let signer = match tokio::fs::read_to_string(path).await {
        Ok(text) => Signer::from_pem(&text).map_err(|problem| problem.to_string()),
        Err(problem) => Err(problem.to_string()),
    };
    let signer = match signer {
        Ok(signer) => signer,
        Err(problem) => {
            tracing::error!(
                "no tokens are put into Secrets: reading the key {}: {problem}",
                path.display()
            );
            return context.stop.cancelled().await;
        }
    };
    let authority = match crate::rootca::sync::authority(&context).await {
        Ok(authority) => authority.map(|text| STANDARD.encode(text)),
        Err(problem) => {
            tracing::error!("no authority is put into Secrets: {problem}");
            None
        }
    };
    let controller = Arc::new(Controller {
        client: context.caches.client().clone(),
        signer,
        authority,
        secrets: Cache::builder(context.caches.client(), &SECRETS)
            .fields("type=kubernetes.io/service-account-token")
            .start(&context.stop),
        accounts: context.caches.service_accounts().clone(),
        queue: Queue::new("serviceaccount_tokens_secret"),
    });
    tokio::join!(controller.secrets.synced(), controller.accounts.synced());
    controller.subscribe();
    let this = controller.clone();
    until_stopped(&controller.queue, WORKERS, &context.stop, move |item| {
        let this = this.clone();
        async move {
            match this.sync(&item).await {
                Err(error) if this.queue.num_requeues(&item) < RETRIES => Err(error),
                Err(error) => {
                    tracing::warn!(?item, "giving up until something changes: {error:#}");
                    Ok(Next::Done)
                }
                done => done,
            }
        }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.secrets.subscribe(move |event| {
            let meta = &event.object().metadata;
            let Some(account) = meta.annotations.get(ACCOUNT_NAME).filter(|name| !name.is_empty()) else {
                return;
            };
            this.queue.add(match event {
                Event::Deleted(_) => Item::Gone {
                    secret: meta.key(),
                    account: account.into(),
                },
                _ => Item::Secret(meta.key()),
            });
        });
        let this = self.clone();
        self.accounts.subscribe(move |event| {
            let gone = match event {
                Event::Deleted(last) => last,
                Event::Updated { old, new } if old.metadata.uid != new.metadata.uid => old,
                _ => return,
            };
            this.queue.add(Item::Account {
                key: gone.metadata.key(),
                uid: gone.metadata.uid.clone(),
            });
        });
    }

    async fn sync(&self, item: &Item) -> anyhow::Result<Next> {
        match item {
            Item::Secret(key) => self.sync_secret(key).await,
            Item::Gone { secret, account } => self.unlist(secret, account).await,
            Item::Account { key, uid } => self.account_gone(key, uid).await,
        }
    }

    async fn sync_secret(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(secret) = self.secrets.get(key) else {
            return Ok(Next::Done);
        };
        let name = secret.metadata.annotations.get(ACCOUNT_NAME).unwrap_or_default();
        let account = match self.accounts.get_named(&key.namespace, name) {
            Some(account) if secret.is_of(&account.metadata) => Some(account),
            // The cache may lag behind.
            _ => match self
                .client
                .get::<PartialObject>(&SERVICE_ACCOUNTS, &key.namespace, name)
                .await
            {
                Ok(live) => Some(Arc::new(live)).filter(|live| secret.is_of(&live.metadata)),
                Err(gone) if gone.is_not_found() => None,
                Err(error) => return Err(error).context("looking up the account of a token"),
            },
        };
        match account {
            None => self.delete(&secret.metadata).await,
            Some(account) => match secret.lacks(self.authority.as_deref()) {
                None => Ok(Next::Done),
                Some(lacks) => self.fill_in(&secret.metadata, &account.metadata, lacks).await,
            },
        }
    }

    async fn delete(&self, secret: &ObjectMeta) -> anyhow::Result<Next> {
        let options = DeleteOptions::default().uid(&*secret.uid);
        let deleted = self
            .client
            .delete(&SECRETS, &secret.namespace, &secret.name, &options)
            .await;
        match deleted {
            Err(error) if !error.is_not_found() && !error.is_conflict() => {
                Err(error).with_context(|| format!("deleting the token {}", secret.key()))
            }
            _ => Ok(Next::Done),
        }
    }

    async fn fill_in(&self, secret: &ObjectMeta, account: &ObjectMeta, lacks: Lacks) -> anyhow::Result<Next> {
        let key = secret.key();
        let Some(mut object) = rewrite::read(&self.client, &SECRETS, secret).await? else {
            return Ok(Next::Done); // its event brings us back
        };
        let data = &mut object["data"];
        if !data.is_object() {
            *data = Value::Object(Map::new());
        }
        if lacks.authority {
            data["ca.crt"] = json!(self.authority);
        }
        if lacks.namespace {
            data["namespace"] = STANDARD.encode(key.namespace.as_bytes()).into();
        }
        if lacks.token {
            let claims = json!({ "iss": ISSUER, "sub": format!("system:serviceaccount:{}:{}", account.namespace, account.name),
                "kubernetes.io/serviceaccount/namespace": account.namespace,
                "kubernetes.io/serviceaccount/secret.name": secret.name,
                "kubernetes.io/serviceaccount/service-account.name": account.name,
                "kubernetes.io/serviceaccount/service-account.uid": account.uid });
            data["token"] = STANDARD.encode(self.signer.sign(&claims)?).into();
        }
        object["metadata"]["annotations"][ACCOUNT_NAME] = json!(account.name);
        object["metadata"]["annotations"][ACCOUNT_UID] = json!(account.uid);
        match rewrite::write(&self.client, &SECRETS, secret, &object).await {
            Err(error) if !error.is_conflict() && !error.is_not_found() => {
                Err(error).with_context(|| format!("filling in the token {key}"))
            }
            _ => Ok(Next::Done),
        }
    }

    /// Takes a Secret that is gone out of its account's list.
    async fn unlist(&self, secret: &ObjectKey, account: &Istr) -> anyhow::Result<Next> {
        let held = self.accounts.get_named(&secret.namespace, account);
        let Some(held) = held.filter(|_| self.secrets.get(secret).is_none()) else {
            return Ok(Next::Done);
        };
        let Some(mut object) = rewrite::read(&self.client, &SERVICE_ACCOUNTS, &held.metadata).await? else {
            return Ok(Next::Done);
        };
        let Some(listed) = object["secrets"].as_array_mut() else {
            return Ok(Next::Done);
        };
        let before = listed.len();
        listed.retain(|entry| entry["name"] != *secret.name);
        if listed.len() == before {
            return Ok(Next::Done);
        }
        match rewrite::write(&self.client, &SERVICE_ACCOUNTS, &held.metadata, &object).await {
            Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
            Err(error) if !error.is_not_found() => {
                Err(error).context("taking a token out of its account's list")
            }
            _ => Ok(Next::Done),
        }
    }

    async fn account_gone(&self, key: &ObjectKey, uid: &Istr) -> anyhow::Result<Next> {
        if self
            .accounts
            .get(key)
            .is_some_and(|account| account.metadata.uid == *uid)
        {
            return Ok(Next::Done);
        }
        let gone = ObjectMeta {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: uid.clone(),
            ..ObjectMeta::default()
        };
        for secret in self.secrets.list() {
            // One that names no uid may be meant for the account that came after.
            if secret.is_of(&gone) && secret.metadata.annotations.get(ACCOUNT_UID) == Some(uid) {
                self.delete(&secret.metadata).await?;
            }
        }
        Ok(Next::Done)
    }
}
