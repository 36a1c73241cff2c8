//! Namespaces, and what owns what.

use crate::bench::Bench;
use machinery::client::{DeleteOptions, Propagation};
use machinery::meta::resources::{
    CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICE_ACCOUNTS,
};
use serde_json::{Value, json};

pub async fn namespaces_are_furnished(bench: &Bench) {
    bench.namespace("fresh").await;
    bench
        .see(
            "the default service account and the root certificate",
            async |bench| {
                let account = bench.get(&SERVICE_ACCOUNTS, "fresh", "default").await;
                let map = bench.get(&CONFIG_MAPS, "fresh", "kube-root-ca.crt").await;
                account.is_some()
                    && map.is_some_and(|map| map["data"]["ca.crt"] == bench.server.authority().certificate())
            },
        )
        .await;
}

async fn owned(bench: &Bench, name: &str) {
    bench.deploy("fresh", name, 3).await;
    bench
        .see("three pods", async |bench| {
            bench.list(&PODS, "fresh").await.len() == 3
        })
        .await;
}

async fn delete(bench: &Bench, name: &str, how: Propagation) {
    bench
        .client
        .delete(
            &DEPLOYMENTS,
            "fresh",
            name,
            &DeleteOptions::default().propagation(how),
        )
        .await
        .unwrap();
}

async fn is_bare(bench: &Bench) -> bool {
    let (sets, pods) = (
        bench.list(&REPLICA_SETS, "fresh").await,
        bench.list(&PODS, "fresh").await,
    );
    sets.is_empty() && pods.is_empty()
}

pub async fn dependents_go_with_their_owner(bench: &Bench) {
    owned(bench, "background").await;
    delete(bench, "background", Propagation::Background).await;
    bench.see("no sets and pods", is_bare).await;
}

pub async fn foreground_deletion_waits_for_dependents(bench: &Bench) {
    owned(bench, "foreground").await;
    let held = bench.list(&PODS, "fresh").await[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let pin = json!({ "metadata": { "finalizers": ["example.com/pin"] } });
    bench
        .client
        .patch::<Value, _>(&PODS, "fresh", &held, machinery::client::PatchKind::Merge, &pin)
        .await
        .unwrap();
    delete(bench, "foreground", Propagation::Foreground).await;
    bench
        .see("only the held pod is left", async |bench| {
            bench.list(&PODS, "fresh").await.len() == 1
        })
        .await;
    assert!(
        bench.get(&DEPLOYMENTS, "fresh", "foreground").await.is_some(),
        "the owner waits for it"
    );
    let free = json!({ "metadata": { "finalizers": null } });
    bench
        .client
        .patch::<Value, _>(&PODS, "fresh", &held, machinery::client::PatchKind::Merge, &free)
        .await
        .unwrap();
    bench
        .see("all is gone", async |bench| {
            is_bare(bench).await && bench.get(&DEPLOYMENTS, "fresh", "foreground").await.is_none()
        })
        .await;
}

pub async fn orphans_stay(bench: &Bench) {
    owned(bench, "orphan").await;
    delete(bench, "orphan", Propagation::Orphan).await;
    bench
        .see("the owner is gone", async |bench| {
            bench.get(&DEPLOYMENTS, "fresh", "orphan").await.is_none()
        })
        .await;
    let sets = bench.list(&REPLICA_SETS, "fresh").await;
    assert!(sets.len() == 1 && sets[0]["metadata"]["ownerReferences"].is_null());
    assert_eq!(bench.list(&PODS, "fresh").await.len(), 3);
}

pub async fn deletion_amid_the_work_is_no_error(bench: &Bench) {
    let names: Vec<_> = (0..10).map(|at| format!("short-{at}")).collect();
    for name in &names {
        bench.deploy("fresh", name, 1).await;
        delete(bench, name, Propagation::Background).await;
    }
    bench
        .see("all of them are gone", async |bench| {
            let left = bench.list(&REPLICA_SETS, "fresh").await;
            let left = left.iter().filter_map(|set| set["metadata"]["name"].as_str());
            left.filter(|name| name.starts_with("short-")).count() == 0
        })
        .await;
    let mut warnings = bench.told(&["will try again"]);
    warnings.retain(|line| line.contains("(404)"));
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
}

pub async fn namespaces_are_emptied(bench: &Bench) {
    bench
        .client
        .create::<Value, _>(&CONFIG_MAPS, "fresh", &json!({ "metadata": { "name": "c" } }))
        .await
        .unwrap();
    bench
        .client
        .delete(&NAMESPACES, "", "fresh", &DeleteOptions::default())
        .await
        .unwrap();
    let took = bench
        .see("the namespace is gone", async |bench| {
            bench.get(&NAMESPACES, "", "fresh").await.is_none()
        })
        .await;
    eprintln!(
        "a namespace was gone in {took:?}; the manager holds {:?} MiB",
        bench.memory()
    );
}
