//! What keeps a cluster tidy, against upstream's kube-apiserver and etcd. Each controller acts under its own service account, with upstream's
//! rights and no more.
//!
//! Needs both programs (see `machinery::testing::Assets`); without them each test says that it is skipped, except in CI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cronjobs;
mod endpoints;
mod jobs;
mod namespaces;
mod nodes;
mod quotas;
mod ranges;
mod replication;

use controllers::caches::Caches;
use controllers::clients::Clients;
use controllers::config::Config;
use controllers::context::Context;
use controllers::events::Events;
use machinery::client::{Client, ListOptions};
use machinery::events::Recorder;
use machinery::meta::Resource;
use machinery::meta::resources::{CORE_EVENTS, NAMESPACES};
use machinery::testing::ApiServer;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The server that the tests share, or the end of a test that cannot run here.
macro_rules! server {
    () => {
        match machinery::testing::ApiServer::shared().await {
            Some(server) => server,
            None => return,
        }
    };
}
use server;

/// Two controllers of a kind on one API server would do everything twice.
static TURN: ReentrantMutex<()> = ReentrantMutex::new(());

/// Controllers that run until this is dropped: no others do meanwhile.
struct Running {
    client: Client,
    caches: Arc<Caches>,
    config: Arc<Config>,
    stop: CancellationToken,
    _guard: DropGuard,
    _turn: ReentrantMutexGuard<'static, ()>,
}

impl Running {
    fn new(server: &ApiServer, config: Config) -> Self {
        let turn = TURN.lock();
        let (client, stop) = (server.client(), CancellationToken::new());
        let caches = Arc::new(Caches::new(&client, &stop));
        Self {
            client,
            caches,
            config: Arc::new(config),
            _guard: stop.clone().drop_guard(),
            stop,
            _turn: turn,
        }
    }

    /// Starts a controller under its service account.
    async fn start<F>(&self, name: &'static str, account: &'static str, run: fn(Context) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let client = Clients::new(&self.client, true).named(account, &self.stop).await;
        let context = Context {
            name,
            events: Events::new(Recorder::core(&client, name, "", &self.stop)),
            client,
            caches: self.caches.clone(),
            config: self.config.clone(),
            stop: self.stop.clone(),
        };
        tokio::spawn(run(context));
    }
}

async fn create(client: &Client, resource: &Resource, namespace: &str, mut body: Value) -> Value {
    body["apiVersion"] = resource.api_version().into();
    body["kind"] = resource.kind.as_ref().into();
    client.create(resource, namespace, &body).await.unwrap()
}

/// Sets the fields of `more` in `object`.
fn overlay(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("{more} is no object")
    };
    object.as_object_mut().unwrap().extend(more);
}

async fn namespace(client: &Client, name: &str) {
    create(client, &NAMESPACES, "", json!({ "metadata": { "name": name } })).await;
}

/// The object, or null.
async fn get(client: &Client, resource: &Resource, namespace: &str, name: &str) -> Value {
    match client.get(resource, namespace, name).await {
        Ok(object) => object,
        Err(gone) if gone.is_not_found() => Value::Null,
        Err(error) => panic!("{error}"),
    }
}

/// Waits until the object is as it should be; null stands for one that is not there.
async fn until(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let object = get(client, resource, namespace, name).await;
        if holds(&object) {
            return object;
        }
        assert!(
            Instant::now() < deadline,
            "never came true: {what}; {name} is {object:#}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn condition<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

/// Waits for an event about an object.
async fn event(client: &Client, namespace: &str, name: &str, reason: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let select = ListOptions::default().fields(format!("involvedObject.name={name},reason={reason}"));
        let mut events = client
            .list::<Value>(&CORE_EVENTS, namespace, &select)
            .await
            .unwrap();
        if let Some(found) = events.items.pop() {
            return found;
        }
        assert!(Instant::now() < deadline, "no event {reason} about {name}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
