//! The node's own parts against upstream's kube-apiserver, with the rights of a kubelet and no more: the Node authorizer
//! and NodeRestriction are on.
//!
//! Needs kube-apiserver and etcd (see `machinery::testing::Assets`); without them each test says that it is skipped,
//! except in CI. No container runtime is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod registration;
mod volumes;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubelet::config::KubeletConfig;
use kubelet::context::{Node, Paths};
use kubelet::cri::{Runtime, RuntimeState};
use kubelet::node::Flags;
use machinery::client::Client;
use machinery::events::Recorder;
use machinery::testing::{ApiServer, Assets};
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

/// The server that the tests share, with the Node authorizer.
async fn server() -> Option<&'static ApiServer> {
    static SERVER: OnceCell<Option<ApiServer>> = OnceCell::const_new();
    let start = || async {
        // Says that the test is skipped, or fails, as the other tests do.
        let assets = match Assets::find() {
            Ok(assets) => assets,
            Err(why) => {
                machinery::testing::skip(&why);
                return None;
            }
        };
        Some(
            ApiServer::start_with(&assets, &["--enable-admission-plugins=NodeRestriction"])
                .await
                .unwrap(),
        )
    };
    SERVER.get_or_init(start).await.as_ref()
}

/// A client with the rights of the kubelet of `node`.
fn kubelet_of(server: &ApiServer, node: &str) -> Client {
    let pair = server
        .authority()
        .client(&format!("system:node:{node}"), &["system:nodes"])
        .unwrap();
    Client::new(server.config_of(&pair).with_component("kubelet")).unwrap()
}

/// A kubelet's context with a runtime that says it is well, and everything under `root`.
fn context(name: &str, client: &Client, root: &Path, flags: Flags, stop: &CancellationToken) -> Arc<Node> {
    let well = RuntimeState {
        runtime: Some(Ok(())),
        network: Some(Ok(())),
        version: "containerd://2.4.2".into(),
        ..RuntimeState::default()
    };
    let config = KubeletConfig {
        // Shorter than the defaults, so that a test sees several rounds.
        node_status_update_frequency: kubelet::config::Span::millis(300),
        node_status_report_frequency: kubelet::config::Span::secs(300),
        node_lease_duration_seconds: 4,
        ..KubeletConfig::default()
    };
    Arc::new(Node {
        name: name.into(),
        hostname: name.into(),
        config: Arc::new(config),
        flags,
        paths: Paths {
            root: root.into(),
            pod_logs: root.join("logs"),
            container_logs: root.join("containers"),
        },
        api: Some(client.clone()),
        cri: Runtime::new("unix:///nowhere.sock").unwrap(),
        events: Recorder::core(client, "kubelet", name, stop),
        pods: Arc::default(),
        addresses: watch::Sender::default(),
        object: watch::Sender::default(),
        runtime: watch::Sender::new(well),
        pressure: watch::Sender::default(),
        capacity: watch::Sender::default(),
    })
}

/// Asks until it is so.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{what}: not within 20 s"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
