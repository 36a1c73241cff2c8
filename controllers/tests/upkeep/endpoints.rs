//! Services have Endpoints.

use crate::{Running, create, namespace, server, until};
use controllers::config::Config;
use machinery::client::{Client, DeleteOptions, PatchKind};
use machinery::meta::resources::{ENDPOINTS, PODS, SERVICES};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

async fn says(client: &Client, pod: &str, ip: &str, ready: &str) {
    let conditions = json!([{ "type": "Ready", "status": ready }]);
    let patch = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": conditions } });
    client
        .patch_status::<IgnoredAny, _>(&PODS, "ep", pod, PatchKind::Strategic, &patch)
        .await
        .unwrap();
}

fn ips(endpoints: &Value, field: &str) -> Vec<String> {
    let subsets = endpoints["subsets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let addresses = subsets
        .iter()
        .flat_map(|subset| subset[field].as_array().map(Vec::as_slice).unwrap_or_default());
    addresses
        .map(|address| address["ip"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_pods_and_services() {
    let server = server!();
    let running = Running::new(server, Config::default());
    let client = &running.client;
    namespace(client, "ep").await;
    // Left over from a Service that was deleted while nobody looked.
    create(
        client,
        &ENDPOINTS,
        "ep",
        json!({ "metadata": { "name": "left" } }),
    )
    .await;
    running
        .start(
            "endpoints-controller",
            "endpoint-controller",
            controllers::endpoints::sync::run,
        )
        .await;
    until(client, &ENDPOINTS, "ep", "left", "it is gone", Value::is_null).await;

    let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    create(
        client,
        &SERVICES,
        "ep",
        json!({ "metadata": { "name": "web", "labels": { "tier": "front" } }, "spec": spec }),
    )
    .await;
    for (name, ip, ready) in [("a", "10.1.0.1", "True"), ("b", "10.1.0.2", "False")] {
        let spec = json!({ "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] });
        create(
            client,
            &PODS,
            "ep",
            json!({ "metadata": { "name": name, "labels": { "app": "web" } }, "spec": spec }),
        )
        .await;
        says(client, name, ip, ready).await;
    }
    let both = until(client, &ENDPOINTS, "ep", "web", "both pods are listed", |e| {
        ips(e, "notReadyAddresses") == ["10.1.0.2"] && ips(e, "addresses") == ["10.1.0.1"]
    })
    .await;
    assert_eq!(
        both["metadata"]["labels"],
        json!({ "tier": "front", "endpoints.kubernetes.io/managed-by": "endpoint-controller" })
    );
    assert_eq!(
        both["subsets"][0]["ports"],
        json!([{ "port": 8080, "protocol": "TCP" }])
    );
    assert_eq!(both["subsets"][0]["addresses"][0]["targetRef"]["name"], "a");

    says(client, "b", "10.1.0.2", "True").await;
    until(client, &ENDPOINTS, "ep", "web", "both are ready", |e| {
        ips(e, "addresses") == ["10.1.0.1", "10.1.0.2"]
    })
    .await;
    client
        .delete(&ENDPOINTS, "ep", "web", &DeleteOptions::default())
        .await
        .unwrap();
    until(client, &ENDPOINTS, "ep", "web", "it is made again", |e| {
        ips(e, "addresses").len() == 2
    })
    .await;
    client
        .delete(&PODS, "ep", "a", &DeleteOptions::default())
        .await
        .unwrap();
    until(client, &ENDPOINTS, "ep", "web", "one is left", |e| {
        ips(e, "addresses") == ["10.1.0.2"]
    })
    .await;
    client
        .delete(&SERVICES, "ep", "web", &DeleteOptions::default())
        .await
        .unwrap();
    until(
        client,
        &ENDPOINTS,
        "ep",
        "web",
        "it goes with its Service",
        Value::is_null,
    )
    .await;
}
