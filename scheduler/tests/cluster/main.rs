//! kube-scheduler against upstream's kube-apiserver and etcd: fake nodes, no kubelets, and no more rights than upstream's has.
//!
//! Needs both programs (see `machinery::testing::Assets`); without them each test says that it is skipped, except in CI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod binding;
mod refusal;
mod restart;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machinery::client::{Client, ListOptions, PatchKind};
use machinery::meta::resources::{NAMESPACES, NODES, PODS};
use machinery::testing::{ApiServer, Process};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

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

/// The program under test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kube-scheduler"))
}

/// A kubeconfig with upstream's identity for schedulers: what its bootstrap roles allow is all that we may do.
fn kubeconfig(server: &ApiServer, folder: &Path) -> PathBuf {
    let pair = server.authority().client("system:kube-scheduler", &[]).unwrap();
    std::fs::write(folder.join("scheduler.crt"), &pair.certificate).unwrap();
    std::fs::write(folder.join("scheduler.key"), &pair.key).unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": {
            "server": server.url(), "certificate-authority": server.ca_file() } }],
        "users": [{ "name": "scheduler", "user": {
            "client-certificate": folder.join("scheduler.crt"), "client-key": folder.join("scheduler.key") } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "scheduler" } }],
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Starts a scheduler; `flags` go behind the usual ones.
fn start(server: &ApiServer, folder: &Path, flags: &[String]) -> Process {
    let mut args = vec![
        format!("--kubeconfig={}", kubeconfig(server, folder).display()),
        "--secure-port=0".to_owned(),
        "--v=3".to_owned(),
    ];
    args.extend(flags.iter().cloned());
    Process::start(program(), args, folder).unwrap()
}

/// The scheduler that most tests share; it ends with the test binary.
async fn scheduler(server: &'static ApiServer) {
    static SHARED: OnceCell<(Process, tempfile::TempDir)> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let folder = tempfile::tempdir().unwrap();
            (start(server, folder.path(), &[]), folder)
        })
        .await;
}

/// A pool of nodes of a test's own, and a namespace for pods that only go there.
struct Pool {
    name: &'static str,
    client: Client,
}

impl Pool {
    async fn new(server: &ApiServer, name: &'static str, nodes: usize, cpu: &str) -> Self {
        let client = server.client();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        client
            .create::<IgnoredAny, _>(&NAMESPACES, "", &namespace)
            .await
            .unwrap();
        let pool = Self { name, client };
        for index in 0..nodes {
            pool.node(index, cpu).await;
        }
        pool
    }

    async fn node(&self, index: usize, cpu: &str) {
        let name = format!("{}-{index}", self.name);
        let resources = json!({ "cpu": cpu, "memory": "32Gi", "pods": "110" });
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": {
                "pool": self.name, "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": format!("{}-{}", self.name, index % 3),
            } },
            "status": { "capacity": resources, "allocatable": resources, "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        self.client
            .create::<IgnoredAny, _>(&NODES, "", &node)
            .await
            .unwrap();
        // Admission taints a new node until a node controller finds it ready.
        let ready = json!({ "spec": { "taints": null } });
        self.client
            .patch::<IgnoredAny, _>(&NODES, "", &name, PatchKind::Merge, &ready)
            .await
            .unwrap();
    }

    /// A pod of this pool with `spec` laid over the usual.
    async fn pod(&self, name: &str, app: &str, spec: &Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": app } },
            "spec": {
                "nodeSelector": { "pool": self.name }, "terminationGracePeriodSeconds": 0,
                "containers": [{ "name": "c", "image": "pause", "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }],
            },
        });
        machinery::component::config::merge(&mut pod["spec"], spec.clone());
        self.client
            .create::<IgnoredAny, _>(&PODS, self.name, &pod)
            .await
            .unwrap();
    }

    async fn get(&self, name: &str) -> Value {
        self.client.get(&PODS, self.name, name).await.unwrap()
    }

    async fn list(&self) -> Vec<Value> {
        self.client
            .list::<Value>(&PODS, self.name, &ListOptions::default())
            .await
            .unwrap()
            .items
    }

    /// Waits until the pod is as wanted.
    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let pod = self.get(name).await;
            if holds(&pod) {
                return pod;
            }
            assert!(Instant::now() < deadline, "{name} was never {what}: {pod}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_bound(&self, name: &str) -> String {
        let pod = self
            .until(name, "bound", |pod| pod["spec"]["nodeName"].is_string())
            .await;
        pod["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    /// Waits until all pods of the pool are on nodes; which.
    async fn until_all_bound(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let pods = self.list().await;
            let bound = pods
                .iter()
                .filter(|pod| pod["spec"]["nodeName"].is_string())
                .count();
            if bound == count {
                return pods;
            }
            assert!(
                Instant::now() < deadline,
                "only {bound} of {count} pods were bound"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The pod's `PodScheduled` condition.
fn scheduled(pod: &Value) -> Option<&Value> {
    pod["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == "PodScheduled")
}
