//! A scheduler that is killed and comes back goes on as if nothing had happened.

use serde_json::json;

use super::*;

#[tokio::test]
async fn what_is_there_counts_before_anything_is_scheduled() {
    let server = server!();
    let pool = Pool::new(server, "restart", 2, "1").await;
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig(server, folder.path()) },
        // Its own lease and name: the scheduler that other tests share goes on beside it.
        "leaderElection": { "resourceName": "restarting", "resourceNamespace": "kube-system",
            "leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms" },
        "profiles": [{ "schedulerName": "restarting" }],
    });
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    let admin = server.client();
    // Upstream's role allows the lease of its own name only.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "restarting" },
        "rules": [{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"] }],
    });
    admin
        .create::<IgnoredAny, _>(&machinery::meta::resources::CLUSTER_ROLES, "", &role)
        .await
        .unwrap();
    let bindings = machinery::meta::Resource::cluster(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
    );
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "restarting" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "restarting" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:kube-scheduler" }],
    });
    admin
        .create::<IgnoredAny, _>(&bindings, "", &binding)
        .await
        .unwrap();

    let args = [
        format!("--config={}", path.display()),
        "--secure-port=0".to_owned(),
        "--v=3".to_owned(),
    ];
    let spec = |cpu: &str| {
        json!({ "schedulerName": "restarting",
            "containers": [{ "name": "c", "image": "pause", "resources": { "requests": { "cpu": cpu } } }] })
    };
    let mut first = Process::start(program(), &args, folder.path()).unwrap();
    for index in 0..4 {
        pool.pod(&format!("before-{index}"), "before", &spec("400m"))
            .await;
    }
    pool.until_all_bound(4).await;
    first.kill();
    // Made while nobody schedules: two more do not fit, whatever order a new one looks at them in.
    for index in 0..2 {
        pool.pod(&format!("after-{index}"), "after", &spec("400m")).await;
    }
    pool.pod("small", "after", &spec("100m")).await;
    let _second = Process::start(program(), &args, folder.path()).unwrap();
    pool.until_bound("small").await;
    for index in 0..2 {
        let name = format!("after-{index}");
        pool.until(&name, "refused", |pod| {
            scheduled(pod).is_some_and(|c| c["reason"] == "Unschedulable")
        })
        .await;
    }
}
