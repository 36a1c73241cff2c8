//! machinery against upstream's kube-apiserver and etcd, with a proxy in between that breaks things.
//!
//! Needs both programs (see `machinery::testing::Assets`); without them each test says that it is skipped, except in CI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authentication;
mod caches;
mod election;
mod event_sink;
mod pacing;
mod requests;

use std::time::{Duration, Instant};

use machinery::client::Client;
use machinery::meta::resources::{CONFIG_MAPS, NAMESPACES};
use machinery::testing::ApiServer;
use serde::de::IgnoredAny;
use serde_json::json;

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

/// Makes a namespace for a test of its own.
async fn namespace(server: &ApiServer, name: &str) -> Client {
    let client = server.client();
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    client
        .create::<IgnoredAny, _>(&NAMESPACES, "", &body)
        .await
        .unwrap();
    client
}

/// Makes a ConfigMap.
async fn config_map(client: &Client, namespace: &str, name: &str, value: &str) {
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}});
    client
        .create::<IgnoredAny, _>(&CONFIG_MAPS, namespace, &body)
        .await
        .unwrap();
}

/// Waits until `holds`, which is looked at often; fails the test if it never does.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
