//! PodDisruptionBudgets, and Endpoints that users write.

use crate::bench::{Bench, is_rolled_out};
use machinery::client::{DeleteOptions, PatchKind};
use machinery::meta::resources::{ENDPOINT_SLICES, ENDPOINTS, POD_DISRUPTION_BUDGETS, PODS, SERVICES};
use serde_json::{Value, json};

async fn allowed(bench: &Bench, name: &str) -> Option<i64> {
    let budget = bench.get(&POD_DISRUPTION_BUDGETS, "budget", name).await?;
    let status = &budget["status"];
    let current = status["observedGeneration"] == budget["metadata"]["generation"];
    current.then(|| status["disruptionsAllowed"].as_i64()).flatten()
}

pub async fn evictions_wait_for_healthy_pods(bench: &Bench) {
    bench.namespace("budget").await;
    for (name, spec) in [
        ("number", json!({ "minAvailable": 2 })),
        ("share", json!({ "maxUnavailable": "34%" })),
    ] {
        let mut spec = spec;
        spec["selector"] = json!({ "matchLabels": { "app": "web" } });
        let body = json!({ "metadata": { "name": name }, "spec": spec });
        bench
            .client
            .create::<Value, _>(&POD_DISRUPTION_BUDGETS, "budget", &body)
            .await
            .unwrap();
    }
    bench
        .see("nothing may go while there is nothing", async |bench| {
            allowed(bench, "number").await == Some(0) && allowed(bench, "share").await == Some(0)
        })
        .await;
    bench.deploy("budget", "web", 3).await;
    bench
        .until("the rollout", "budget", async |bench| {
            is_rolled_out(bench, "budget", "web").await
        })
        .await;
    bench
        .see("one of three may go, by number; two, by share", async |bench| {
            allowed(bench, "number").await == Some(1) && allowed(bench, "share").await == Some(2)
        })
        .await;
    let budget = bench
        .get(&POD_DISRUPTION_BUDGETS, "budget", "share")
        .await
        .unwrap();
    let condition = &budget["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["reason"]),
        (
            &json!("DisruptionAllowed"),
            &json!("True"),
            &json!("SufficientPods")
        )
    );
    bench
        .client
        .delete(
            &POD_DISRUPTION_BUDGETS,
            "budget",
            "share",
            &DeleteOptions::default(),
        )
        .await
        .unwrap();
    let pods = bench.list(&PODS, "budget").await;
    let evict = async |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        bench
            .client
            .create_sub::<Value, _>(&PODS, "budget", name, "eviction", &body)
            .await
    };
    evict(&pods[0]).await.unwrap();
    // The API server itself takes the allowance down.
    let refused = evict(&pods[1]).await.unwrap_err();
    assert!(refused.is_too_many_requests(), "{refused}");
    bench
        .until("three are healthy again", "budget", async |bench| {
            allowed(bench, "number").await == Some(1)
        })
        .await;
}

pub async fn endpoints_of_users_are_mirrored(bench: &Bench) {
    let service = json!({ "metadata": { "name": "hand" }, "spec": { "ports": [{ "port": 80 }] } });
    bench
        .client
        .create::<Value, _>(&SERVICES, "budget", &service)
        .await
        .unwrap();
    let body = json!({ "metadata": { "name": "hand", "labels": { "x": "y" } }, "subsets": [{ "addresses": [{ "ip": "10.1.2.3" }], "ports": [{ "port": 80 }] }] });
    bench
        .client
        .create::<Value, _>(&ENDPOINTS, "budget", &body)
        .await
        .unwrap();
    let mirrored = async |bench: &Bench| -> Vec<Value> {
        let slices = bench.list(&ENDPOINT_SLICES, "budget").await;
        slices
            .into_iter()
            .filter(|slice| {
                slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
                    == "endpointslicemirroring-controller.k8s.io"
            })
            .collect()
    };
    bench
        .see("a slice", async |bench| mirrored(bench).await.len() == 1)
        .await;
    let slice = &mirrored(bench).await[0];
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.1.2.3"]));
    assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
    assert_eq!(
        slice["metadata"]["labels"],
        json!({ "x": "y", "kubernetes.io/service-name": "hand",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" })
    );
    let patch = json!({ "subsets": [{ "addresses": [{ "ip": "10.1.2.4" }], "ports": [{ "port": 81 }] }] });
    bench
        .client
        .patch::<Value, _>(&ENDPOINTS, "budget", "hand", PatchKind::Merge, &patch)
        .await
        .unwrap();
    bench
        .see("the slice follows", async |bench| {
            let slices = mirrored(bench).await;
            slices.len() == 1
                && slices[0]["endpoints"][0]["addresses"][0] == "10.1.2.4"
                && slices[0]["ports"][0]["port"] == 81
                && slices[0]["metadata"]["name"] == slice["metadata"]["name"]
        })
        .await;
    bench
        .client
        .delete(&ENDPOINTS, "budget", "hand", &DeleteOptions::default())
        .await
        .unwrap();
    bench
        .see("the slice goes with them", async |bench| {
            mirrored(bench).await.is_empty()
        })
        .await;
}
