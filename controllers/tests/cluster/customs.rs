//! Custom kinds, which come and go.

use crate::bench::Bench;
use machinery::client::DeleteOptions;
use machinery::meta::Resource;
use machinery::meta::resources::CUSTOM_RESOURCE_DEFINITIONS;
use serde_json::{Value, json};

const NAMESPACE: &str = "customs";

pub async fn kinds_are_collected_while_they_are_there(bench: &Bench) {
    bench.namespace(NAMESPACE).await;
    let widgets = Resource::discovered("example.com", "v1", "widgets", "Widget", true);
    for times in 1..=2 {
        let definition = json!({ "metadata": { "name": "widgets.example.com" }, "spec": { "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget" }, "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }] } });
        bench
            .client
            .create::<Value, _>(&CUSTOM_RESOURCE_DEFINITIONS, "", &definition)
            .await
            .unwrap();
        let abandoned = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w", "ownerReferences": [
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": format!("gone-{times}") }] } });
        bench
            .see("the kind is served", async |bench| {
                let created = bench.client.create::<Value, _>(&widgets, NAMESPACE, &abandoned);
                created.await.is_ok()
            })
            .await;
        bench
            .see("what nobody owns is collected", async |bench| {
                bench.get(&widgets, NAMESPACE, "w").await.is_none()
            })
            .await;
        bench
            .client
            .delete(
                &CUSTOM_RESOURCE_DEFINITIONS,
                "",
                "widgets.example.com",
                &DeleteOptions::default(),
            )
            .await
            .unwrap();
        bench
            .see("the kind is no longer watched", async |bench| {
                bench.told(&["the kind is gone"]).len() == times
            })
            .await;
    }
    let warnings = bench.told(&["cannot list and watch"]);
    assert!(
        warnings.is_empty(),
        "a kind that is gone is no trouble:\n{}",
        warnings.join("\n")
    );
}
