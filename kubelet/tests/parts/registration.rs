use super::*;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1 as core;
use machinery::client::{ListOptions, PatchKind};
use machinery::meta::resources::{CORE_EVENTS, LEASES, NAMESPACES, NODES};
use serde::de::IgnoredAny;
use serde_json::json;

async fn node_of(client: &Client, name: &str) -> Option<core::Node> {
    client.get(&NODES, "", name).await.ok()
}

fn ready(node: &core::Node) -> (String, String, String) {
    let conditions = node.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    (
        ready.status.clone(),
        ready.reason.clone().unwrap(),
        ready.message.clone().unwrap(),
    )
}

#[tokio::test]
async fn a_node_registers_reports_and_renews_its_lease() {
    let Some(server) = server().await else { return };
    let (root, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let admin = server.client();
    // Made by the API server at its leisure.
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}});
    let _ = admin.create::<IgnoredAny, _>(&NAMESPACES, "", &body).await;
    let flags = Flags {
        node_labels: [("node-role.example.com/edge".to_owned(), "yes".to_owned())].into(),
        ..Flags::default()
    };
    let node = context("reg-1", &kubelet_of(server, "reg-1"), root.path(), flags, &stop);
    kubelet::node::observe(&node).unwrap();
    assert!(node.capacity.borrow().memory > 0, "known before the API is asked");
    let running = tokio::spawn(kubelet::node::run(Arc::clone(&node), stop.clone()));

    let object = eventually("the node is there", async || node_of(&admin, "reg-1").await).await;
    let labels = object.metadata.labels.clone().unwrap();
    assert_eq!(labels["kubernetes.io/hostname"], "reg-1");
    assert_eq!(labels["node-role.example.com/edge"], "yes");
    assert_eq!(ready(&object).0, "True");
    let status = object.status.unwrap();
    assert_eq!(status.node_info.unwrap().kubelet_version, "v1.37.1");
    assert_eq!(
        status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port,
        10250
    );
    assert!(status.capacity.unwrap().contains_key("ephemeral-storage"));

    // The lease is renewed and owned; the status, which does not change, is not written again.
    let lease = async || admin.get::<Lease>(&LEASES, "kube-node-lease", "reg-1").await.ok();
    let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
    let first = eventually("the lease is there", lease).await;
    assert_eq!(first.metadata.owner_references.as_ref().unwrap()[0].name, "reg-1");
    let next = async |known: &Lease| {
        eventually("the lease is renewed", async || {
            lease().await.filter(|now| renewed(now) != renewed(known))
        })
        .await
    };
    let second = next(&first).await;
    let before = node_of(&admin, "reg-1").await.unwrap();
    next(&second).await;
    let after = node_of(&admin, "reg-1").await.unwrap();
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);

    // A runtime that goes down takes the node with it, at once, and back.
    node.runtime
        .send_modify(|state| state.runtime = Some(Err("container runtime is down".into())));
    let down = eventually("the node is not ready", async || {
        node_of(&admin, "reg-1")
            .await
            .filter(|node| ready(node).0 == "False")
    })
    .await;
    assert_eq!(ready(&down).1, "KubeletNotReady");
    assert_eq!(ready(&down).2, "container runtime is down");
    node.runtime.send_modify(|state| state.runtime = Some(Ok(())));
    eventually("the node is ready", async || {
        node_of(&admin, "reg-1")
            .await
            .filter(|node| ready(node).0 == "True")
    })
    .await;

    // What others write stays, and is seen.
    let change = json!({"metadata": {"labels": {"mine": "kept"}}, "spec": {"unschedulable": true}});
    admin
        .patch::<IgnoredAny, _>(&NODES, "", "reg-1", PatchKind::Merge, &change)
        .await
        .unwrap();
    eventually("the label is seen", async || {
        let object = node.object.borrow().clone();
        object.filter(|node| {
            node.metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key("mine"))
        })
    })
    .await;

    // All of it was told.
    eventually("the events are there", async || {
        let about = ListOptions::default().fields("involvedObject.name=reg-1");
        let events = admin
            .list::<core::Event>(&CORE_EVENTS, "default", &about)
            .await
            .ok()?;
        let reasons: Vec<_> = events
            .items
            .into_iter()
            .filter_map(|event| event.reason)
            .collect();
        [
            "Starting",
            "NodeHasSufficientMemory",
            "NodeNotReady",
            "NodeReady",
            "NodeNotSchedulable",
        ]
        .iter()
        .all(|wanted| reasons.iter().any(|reason| reason == wanted))
        .then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_restarted_kubelet_reconciles_the_node_that_is_there() {
    let Some(server) = server().await else { return };
    let (root, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let admin = server.client();
    let existing = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "reg-2", "labels": {"kubernetes.io/os": "plan9", "mine": "kept"}},
        "spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"],
                 "taints": [{"key": "k", "effect": "NoSchedule"}]},
    });
    admin
        .create::<IgnoredAny, _>(&NODES, "", &existing)
        .await
        .unwrap();
    let node = context(
        "reg-2",
        &kubelet_of(server, "reg-2"),
        root.path(),
        Flags::default(),
        &stop,
    );
    kubelet::node::observe(&node).unwrap();
    let running = tokio::spawn(kubelet::node::run(Arc::clone(&node), stop.clone()));
    let object = eventually("the node is ready", async || {
        node_of(&admin, "reg-2").await.filter(|node| {
            node.status
                .as_ref()
                .is_some_and(|status| status.conditions.is_some())
                && ready(node).0 == "True"
        })
    })
    .await;
    let labels = object.metadata.labels.unwrap();
    assert_eq!(
        (labels["kubernetes.io/os"].as_str(), labels["mine"].as_str()),
        ("linux", "kept")
    );
    let spec = object.spec.unwrap();
    assert_eq!(spec.pod_cidr.as_deref(), Some("10.9.0.0/24"));
    assert!(spec.taints.unwrap().iter().any(|taint| taint.key == "k"));
    let annotations = object.metadata.annotations.unwrap();
    assert_eq!(
        annotations["volumes.kubernetes.io/controller-managed-attach-detach"],
        "true"
    );
    stop.cancel();
    running.await.unwrap();
}
