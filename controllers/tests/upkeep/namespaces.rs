//! Namespaces take all that is in them along.

use crate::{Running, condition, create, get, namespace, server, until};
use controllers::config::Config;
use machinery::client::{DeleteOptions, PatchKind};
use machinery::meta::Resource;
use machinery::meta::resources::{
    CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, NAMESPACES, PODS, SECRETS,
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

async fn running(server: &machinery::testing::ApiServer) -> Running {
    let running = Running::new(server, Config::default());
    running
        .start(
            "namespace-controller",
            "namespace-controller",
            controllers::namespace::sync::run,
        )
        .await;
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_with_everything_in_it() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "full").await;
    for n in 0..20 {
        create(
            client,
            &CONFIG_MAPS,
            "full",
            json!({ "metadata": { "name": format!("c{n}") } }),
        )
        .await;
    }
    create(client, &SECRETS, "full", json!({ "metadata": { "name": "s" } })).await;
    let template = json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    create(client, &DEPLOYMENTS, "full", json!({ "metadata": { "name": "d" }, "spec": { "selector": { "matchLabels": { "app": "a" } }, "template": template } })).await;
    create(
        client,
        &PODS,
        "full",
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } }),
    )
    .await;
    // A kind that nobody knew when the controller started.
    let names = json!({ "plural": "widgets", "singular": "widget", "kind": "Widget" });
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    let version = json!({ "name": "v1", "served": true, "storage": true, "schema": schema });
    let definition = json!({ "metadata": { "name": "widgets.example.com" }, "spec": { "group": "example.com", "scope": "Namespaced", "names": names, "versions": [version] } });
    create(client, &CUSTOM_RESOURCE_DEFINITIONS, "", definition).await;
    until(
        client,
        &CUSTOM_RESOURCE_DEFINITIONS,
        "",
        "widgets.example.com",
        "the definition is served",
        |crd| condition(crd, "Established")["status"] == "True",
    )
    .await;
    let widgets = Resource::discovered("example.com", "v1", "widgets", "Widget", true);
    let widget = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" } });
    while client
        .create::<IgnoredAny, _>(&widgets, "full", &widget)
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    client
        .delete(&NAMESPACES, "", "full", &DeleteOptions::default())
        .await
        .unwrap();
    until(
        client,
        &NAMESPACES,
        "",
        "full",
        "the namespace is gone",
        Value::is_null,
    )
    .await;
    for (resource, name) in [
        (&CONFIG_MAPS, "c7"),
        (&SECRETS, "s"),
        (&DEPLOYMENTS, "d"),
        (&PODS, "p"),
        (&widgets, "w"),
    ] {
        assert_eq!(
            get(client, resource, "full", name).await,
            Value::Null,
            "{resource}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_first_and_finalizers_are_told_and_waited_for() {
    let server = server!();
    let running = running(server).await;
    let client = &running.client;
    namespace(client, "held").await;
    let pod = json!({ "metadata": { "name": "p", "finalizers": ["example.com/hold"] }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    create(client, &PODS, "held", pod).await;
    create(
        client,
        &CONFIG_MAPS,
        "held",
        json!({ "metadata": { "name": "c" } }),
    )
    .await;

    client
        .delete(&NAMESPACES, "", "held", &DeleteOptions::default())
        .await
        .unwrap();
    let told = until(
        client,
        &NAMESPACES,
        "",
        "held",
        "the finalizer is told",
        |namespace| condition(namespace, "NamespaceFinalizersRemaining")["status"] == "True",
    )
    .await;
    assert_eq!(
        condition(&told, "NamespaceContentRemaining")["message"],
        "Some resources are remaining: pods. has 1 resource instances"
    );
    assert_eq!(
        condition(&told, "NamespaceDeletionContentFailure")["status"],
        "False"
    );
    assert!(
        !get(client, &CONFIG_MAPS, "held", "c").await.is_null(),
        "the rest waits for the pods"
    );

    let release = json!({ "metadata": { "finalizers": null } });
    client
        .patch::<IgnoredAny, _>(&PODS, "held", "p", PatchKind::Merge, &release)
        .await
        .unwrap();
    let freed = std::time::Instant::now();
    until(
        client,
        &NAMESPACES,
        "",
        "held",
        "the namespace is gone",
        Value::is_null,
    )
    .await;
    assert!(
        freed.elapsed() < std::time::Duration::from_secs(5),
        "the pod's end is seen at once: {:?}",
        freed.elapsed()
    );
}
