//! Pods that do not fit are told why, and tried again when it may help.

use machinery::client::DeleteOptions;
use machinery::meta::resources::PRIORITY_CLASSES;
use serde_json::json;

use super::*;

fn asks(cpu: &str) -> Value {
    json!({ "containers": [{ "name": "c", "image": "pause", "resources": { "requests": { "cpu": cpu } } }] })
}

#[tokio::test]
async fn a_pod_that_does_not_fit_says_why_and_is_bound_when_a_node_comes() {
    let server = server!();
    let pool = Pool::new(server, "waiting", 2, "1").await;
    scheduler(server).await;
    pool.pod("large", "large", &asks("3")).await;
    let refused = pool
        .until("large", "refused", |pod| {
            scheduled(pod).is_some_and(|c| c["status"] == "False")
        })
        .await;
    let condition = scheduled(&refused).unwrap();
    assert_eq!(condition["reason"], "Unschedulable");
    let message = condition["message"].as_str().unwrap();
    // Other tests' nodes are turned down for their pools.
    assert!(
        message.contains(" nodes are available: ") && message.contains("2 Insufficient cpu"),
        "{message}"
    );
    assert!(message.contains("preemption: "), "{message}");
    pool.node(2, "4").await;
    assert_eq!(pool.until_bound("large").await, "waiting-2");
}

#[tokio::test]
async fn a_pod_of_higher_priority_gets_the_place_of_a_lower_one() {
    let server = server!();
    let pool = Pool::new(server, "preempt", 1, "1").await;
    scheduler(server).await;
    let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "preempt-high" }, "value": 1000 });
    pool.client
        .create::<IgnoredAny, _>(&PRIORITY_CLASSES, "", &class)
        .await
        .unwrap();
    pool.pod("low", "low", &asks("800m")).await;
    pool.until_bound("low").await;
    let mut high = asks("800m");
    high["priorityClassName"] = json!("preempt-high");
    pool.pod("high", "high", &high).await;
    assert_eq!(pool.until_bound("high").await, "preempt-0");
    let names: Vec<Value> = pool
        .list()
        .await
        .iter()
        .map(|pod| pod["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["high"]);
}

#[tokio::test]
async fn a_place_that_gets_free_is_taken() {
    let server = server!();
    let pool = Pool::new(server, "freed", 1, "1").await;
    scheduler(server).await;
    pool.pod("first", "first", &asks("800m")).await;
    pool.until_bound("first").await;
    pool.pod("second", "second", &asks("800m")).await;
    pool.until("second", "refused", |pod| scheduled(pod).is_some())
        .await;
    pool.client
        .delete(&PODS, "freed", "first", &DeleteOptions::default().grace(0))
        .await
        .unwrap();
    pool.until_bound("second").await;
}
