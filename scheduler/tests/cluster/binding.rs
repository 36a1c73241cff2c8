//! Pods that fit are bound.

use std::collections::BTreeMap;

use machinery::client::ListOptions;
use machinery::meta::resources::EVENTS;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_thousand_pods_spread_over_a_hundred_nodes() {
    let server = server!();
    let pool = Pool::new(server, "many", 100, "4").await;
    let creating = (0..8usize).map(|worker| {
        let pool = &pool;
        async move {
            for index in (worker..1000).step_by(8) {
                pool.pod(&format!("p{index}"), "many", &json!({})).await;
            }
        }
    });
    scheduler(server).await;
    futures::future::join_all(creating).await;
    let pods = pool.until_all_bound(1000).await;
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in &pods {
        *by_node
            .entry(pod["spec"]["nodeName"].as_str().unwrap())
            .or_default() += 1;
        assert_eq!(scheduled(pod).unwrap()["status"], "True");
    }
    assert_eq!(by_node.len(), 100);
    assert!(
        by_node.values().all(|count| (9..=11).contains(count)),
        "{by_node:?}"
    );

    let of_one = ListOptions::default().fields("regarding.name=p7");
    let deadline = Instant::now() + Duration::from_secs(30);
    let event = loop {
        let events = pool
            .client
            .list::<Value>(&EVENTS, "many", &of_one)
            .await
            .unwrap()
            .items;
        match events.into_iter().find(|event| event["reason"] == "Scheduled") {
            Some(event) => break event,
            None => assert!(Instant::now() < deadline, "no event"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let node = pool.get("p7").await["spec"]["nodeName"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(event["note"], format!("Successfully assigned many/p7 to {node}"));
    assert_eq!(event["reportingController"], "default-scheduler");
    assert_eq!(event["action"], "Binding");
}

#[tokio::test]
async fn constraints_between_pods_hold() {
    let server = server!();
    let pool = Pool::new(server, "between", 6, "4").await;
    scheduler(server).await;
    let term = |app: &str, key: &str| json!({ "labelSelector": { "matchLabels": { "app": app } }, "topologyKey": key });
    let apart = json!({ "affinity": { "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [term("apart", "kubernetes.io/hostname")] } } });
    let together = json!({ "affinity": { "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [term("together", "topology.kubernetes.io/zone")] } } });
    let even = json!({ "topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "even" } } }] });
    for index in 0..6 {
        pool.pod(&format!("apart-{index}"), "apart", &apart).await;
        pool.pod(&format!("together-{index}"), "together", &together)
            .await;
        pool.pod(&format!("even-{index}"), "even", &even).await;
    }
    let pods = pool.until_all_bound(18).await;
    let nodes_of = |app: &str| -> Vec<String> {
        let of_app = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == app);
        of_app
            .map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned())
            .collect()
    };
    let zone = |node: &String| node.trim_start_matches("between-").parse::<usize>().unwrap() % 3;
    let mut apart = nodes_of("apart");
    apart.sort();
    apart.dedup();
    assert_eq!(apart.len(), 6);
    let together = nodes_of("together");
    assert!(
        together.iter().all(|node| zone(node) == zone(&together[0])),
        "{together:?}"
    );
    let even = nodes_of("even");
    for wanted in 0..3 {
        assert_eq!(
            even.iter().filter(|node| zone(node) == wanted).count(),
            2,
            "{even:?}"
        );
    }
}

#[tokio::test]
async fn a_pod_with_gates_waits_for_them_to_go() {
    let server = server!();
    let pool = Pool::new(server, "gates", 1, "4").await;
    scheduler(server).await;
    pool.pod(
        "gated",
        "gated",
        &json!({ "schedulingGates": [{ "name": "example.com/wait" }] }),
    )
    .await;
    pool.pod("free", "free", &json!({})).await;
    pool.until_bound("free").await;
    let gated = pool.get("gated").await;
    assert!(gated["spec"]["nodeName"].is_null());
    assert_eq!(scheduled(&gated).unwrap()["reason"], "SchedulingGated");
    let open = json!({ "spec": { "schedulingGates": null } });
    pool.client
        .patch::<IgnoredAny, _>(&PODS, "gates", "gated", PatchKind::Merge, &open)
        .await
        .unwrap();
    pool.until_bound("gated").await;
}
