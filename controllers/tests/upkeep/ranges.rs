//! Nodes get address ranges.

use crate::{Running, create, event, server, until};
use controllers::config::{Config, NodeIpam};
use machinery::client::DeleteOptions;
use machinery::meta::resources::NODES;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_get_ranges_of_both_families_while_there_are_any() {
    let Ok(assets) = machinery::testing::Assets::find() else {
        return server_is_missing().await;
    };
    // A server of its own: all nodes share the ranges.
    let server = machinery::testing::ApiServer::start(&assets).await.unwrap();
    let node_ipam = NodeIpam {
        allocate_node_cidrs: true,
        cluster_cidrs: vec!["10.244.0.0/22".into(), "fd00:244::/56".into()],
        service_cidrs: vec!["10.244.0.0/24".into()],
        allocator: "RangeAllocator".into(),
        ..NodeIpam::default()
    };
    let running = Running::new(
        &server,
        Config {
            node_ipam,
            ..Config::default()
        },
    );
    let client = &running.client;
    let held = json!(["10.244.1.0/24", "fd00:244::/64"]);
    create(
        client,
        &NODES,
        "",
        json!({ "metadata": { "name": "old" }, "spec": { "podCIDR": "10.244.1.0/24", "podCIDRs": held } }),
    )
    .await;
    running
        .start(
            "node-ipam-controller",
            "node-controller",
            controllers::nodeipam::sync::run,
        )
        .await;

    let has = |node: &Value| node["spec"]["podCIDRs"].is_array();
    let mut ranges = Vec::new();
    for name in ["a", "b"] {
        create(client, &NODES, "", json!({ "metadata": { "name": name } })).await;
        let node = until(client, &NODES, "", name, "it has ranges", has).await;
        assert_eq!(node["spec"]["podCIDR"], node["spec"]["podCIDRs"][0]);
        ranges.push(node["spec"]["podCIDRs"].clone());
    }
    assert_eq!(
        ranges,
        [
            json!(["10.244.2.0/24", "fd00:244:0:1::/64"]),
            json!(["10.244.3.0/24", "fd00:244:0:2::/64"])
        ]
    );

    create(client, &NODES, "", json!({ "metadata": { "name": "late" } })).await;
    event(client, "default", "late", "CIDRNotAvailable").await;
    client
        .delete(&NODES, "", "a", &DeleteOptions::default())
        .await
        .unwrap();
    let late = until(client, &NODES, "", "late", "it has ranges", has).await;
    assert_eq!(late["spec"]["podCIDR"], "10.244.2.0/24");
}

/// Says that the test is skipped, or fails where it must not be.
async fn server_is_missing() {
    let _ = server!();
}
