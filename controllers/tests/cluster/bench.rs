//! A bare API server, a manager beside it, and a stand-in for kubelets.

use machinery::client::{Client, ListOptions, PatchKind};
use machinery::meta::Resource;
use machinery::meta::resources::{DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS};
use machinery::testing::{ApiServer, Assets, Process, skip};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Machines that run these tests are busy: what matters is what happens, and roughly when.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub server: ApiServer,
    pub client: Client,
    kubeconfig: PathBuf,
    manager: Option<Process>,
}

impl Bench {
    pub async fn start() -> Option<Self> {
        let assets = match Assets::find() {
            Ok(assets) => assets,
            Err(why) => {
                skip(&why);
                return None;
            }
        };
        let server = ApiServer::start(&assets).await.unwrap();
        let (client, kubeconfig) = (server.client(), kubeconfig(&server));
        Some(Self {
            server,
            client,
            kubeconfig,
            manager: None,
        })
    }

    fn run(&mut self, program: &Path, more: &[&str]) {
        self.manager = None; // killed, without a chance to hand its lease over
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let election = [
            "--leader-elect-lease-duration=4s",
            "--leader-elect-renew-deadline=3s",
            "--leader-elect-retry-period=500ms",
        ];
        let args = [
            kubeconfig.as_str(),
            "--secure-port=0",
            "--use-service-account-credentials",
            "-v=4",
        ]
        .into_iter()
        .chain(election)
        .chain(more.iter().copied());
        self.manager = Some(Process::start(program, args, self.server.folder()).unwrap());
    }

    /// Runs our manager in place of whichever ran.
    pub fn ours(&mut self) {
        let authority = format!("--root-ca-file={}", self.server.ca_file().display());
        let key = format!(
            "--service-account-private-key-file={}",
            self.server.folder().join("accounts.key").display()
        );
        self.run(
            Path::new(env!("CARGO_BIN_EXE_kube-controller-manager")),
            &[&authority, &key],
        );
    }

    /// Runs upstream's; false where it is not to be had.
    pub fn upstream(&mut self) -> bool {
        let Ok(program) = self.server.assets().program("kube-controller-manager") else {
            return false;
        };
        self.run(
            &program,
            &["--controllers=deployment-controller,replicaset-controller,endpointslice-controller,daemonset-controller,statefulset-controller,job-controller,cronjob-controller,replicationcontroller-controller,resourcequota-controller"],
        );
        true
    }

    /// The manager's resident memory, in MiB.
    pub fn memory(&self) -> Option<u64> {
        let pid =
            std::fs::read_to_string(self.server.folder().join("kube-controller-manager.log.pid")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? / 1024)
    }

    /// Lines of the manager's log that contain one of these.
    pub fn told(&self, words: &[&str]) -> Vec<String> {
        let log = std::fs::read_to_string(self.server.folder().join("kube-controller-manager.log"))
            .unwrap_or_default();
        log.lines()
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .map(str::to_owned)
            .collect()
    }

    /// Fails if a right was missing: each controller has upstream's.
    #[track_caller]
    pub fn asked_for_no_more_than_upstream(&self) {
        let refused = self.told(&["orbidden", "(403)"]);
        assert!(
            refused.is_empty(),
            "more rights than upstream's were asked for:\n{}",
            refused.join("\n")
        );
    }

    pub async fn namespace(&self, name: &str) {
        self.client
            .create::<Value, _>(&NAMESPACES, "", &json!({ "metadata": { "name": name } }))
            .await
            .unwrap();
    }

    pub async fn deploy(&self, namespace: &str, name: &str, replicas: i32) {
        let body = json!({ "metadata": { "name": name }, "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "strategy": { "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 1 } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [{ "name": "c", "image": "image:1",
                "resources": { "requests": { "cpu": "100m", "memory": "8Mi" }, "limits": { "memory": "1Gi" } },
                "livenessProbe": { "httpGet": { "port": "http", "path": "/" } }, "ports": [{ "name": "http", "containerPort": 80 }] }],
                "tolerations": [{ "key": "x", "operator": "Exists", "tolerationSeconds": 30, "effect": "NoExecute" }] } } } });
        self.client
            .create::<Value, _>(&DEPLOYMENTS, namespace, &body)
            .await
            .unwrap();
    }

    pub async fn set_image(&self, namespace: &str, name: &str, image: &str) {
        let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } });
        self.client
            .patch::<Value, _>(&DEPLOYMENTS, namespace, name, PatchKind::Strategic, &patch)
            .await
            .unwrap();
    }

    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        self.client.get(resource, namespace, name).await.ok()
    }

    pub async fn list(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        self.client
            .list_all(resource, namespace, &ListOptions::default())
            .await
            .unwrap()
            .items
    }

    /// Names and sizes of the ReplicaSets.
    pub async fn sets(&self, namespace: &str) -> Vec<(String, i64)> {
        let mut sets: Vec<_> = self
            .list(&REPLICA_SETS, namespace)
            .await
            .iter()
            .map(|set| {
                (
                    set["metadata"]["name"].as_str().unwrap().to_owned(),
                    set["spec"]["replicas"].as_i64().unwrap(),
                )
            })
            .collect();
        sets.sort();
        sets
    }

    /// Makes pods of the namespace ready, as kubelets would, until `done`.
    pub async fn until(&self, what: &str, namespace: &str, done: impl AsyncFn(&Self) -> bool) -> Duration {
        let started = Instant::now();
        loop {
            if done(self).await {
                return started.elapsed();
            }
            if started.elapsed() >= PATIENCE {
                let log = std::fs::read_to_string(self.server.folder().join("kube-controller-manager.log"))
                    .unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(40).collect();
                panic!(
                    "{what}: not after {PATIENCE:?}\nsets: {:?}\n{}",
                    self.sets(namespace).await,
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            self.make_ready(namespace).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn make_ready(&self, namespace: &str) {
        let pods = self
            .client
            .list::<Value>(
                &PODS,
                namespace,
                &ListOptions::default().fields("status.phase=Pending"),
            )
            .await
            .unwrap()
            .items;
        for pod in pods.iter().take(10) {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let patch = json!({ "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }], "podIP": "10.0.0.1",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": jiff::Timestamp::now() }] } });
            let _ = self
                .client
                .patch_status::<Value, _>(&PODS, namespace, name, PatchKind::Strategic, &patch)
                .await;
        }
    }

    /// Waits for `done` and leaves pods as they are.
    pub async fn see(&self, what: &str, done: impl AsyncFn(&Self) -> bool) -> Duration {
        let started = Instant::now();
        while !done(self).await {
            if started.elapsed() >= PATIENCE {
                let log = std::fs::read_to_string(self.server.folder().join("kube-controller-manager.log"))
                    .unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(40).collect();
                panic!(
                    "{what}: not after {PATIENCE:?}\n{}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed()
    }
}

/// Whether a Deployment says that it has rolled out.
pub async fn is_rolled_out(bench: &Bench, namespace: &str, name: &str) -> bool {
    let Some(deployment) = bench.get(&DEPLOYMENTS, namespace, name).await else {
        return false;
    };
    let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    let told = ["replicas", "updatedReplicas", "availableReplicas"]
        .iter()
        .all(|field| status[field] == *wanted);
    let complete = status["conditions"].as_array().is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["reason"] == "NewReplicaSetAvailable")
    });
    told && complete && status["observedGeneration"] == deployment["metadata"]["generation"]
}

/// A kubeconfig with upstream's identity and rights: its role may little, and each controller acts under its own account.
fn kubeconfig(server: &ApiServer) -> PathBuf {
    let pair = server
        .authority()
        .client("system:kube-controller-manager", &[])
        .unwrap();
    let file = |name: &str, text: &str| {
        let path = server.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (
        file("manager.crt", &pair.certificate),
        file("manager.key", &pair.key),
    );
    let (url, ca) = (server.url(), server.ca_file().display().to_string());
    let text = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": url, "certificate-authority": ca } }],
        "users": [{ "name": "m", "user": { "client-certificate": certificate, "client-key": key } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "m" } }] });
    PathBuf::from(file("manager.kubeconfig", &text.to_string()))
}
