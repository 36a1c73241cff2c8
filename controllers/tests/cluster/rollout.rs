//! Deployments.

use crate::bench::{Bench, is_rolled_out};
use machinery::meta::resources::{DEPLOYMENTS, ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES};
use serde_json::{Value, json};
use std::time::Duration;

pub async fn three_hundred_pods_are_created_once(bench: &Bench) {
    bench.namespace("many").await;
    bench.deploy("many", "web", 300).await;
    let took = bench
        .see("300 pods", async |bench| {
            bench.list(&PODS, "many").await.len() >= 300
        })
        .await;
    eprintln!(
        "300 pods created in {took:?}; the manager holds {:?} MiB",
        bench.memory()
    );
    bench
        .see("the Deployment counts them", async |bench| {
            bench
                .get(&DEPLOYMENTS, "many", "web")
                .await
                .is_some_and(|deployment| deployment["status"]["replicas"] == 300)
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        bench.list(&PODS, "many").await.len(),
        300,
        "no pod was created twice"
    );
}

pub async fn a_new_image_rolls_and_rolls_back(bench: &Bench) {
    bench.namespace("roll").await;
    bench.deploy("roll", "web", 6).await;
    bench
        .until("the first rollout", "roll", async |bench| {
            is_rolled_out(bench, "roll", "web").await
        })
        .await;
    let first = bench.sets("roll").await;
    assert_eq!(first.len(), 1);
    bench.set_image("roll", "web", "image:2").await;
    bench
        .until("the second rollout", "roll", async |bench| {
            is_rolled_out(bench, "roll", "web").await
        })
        .await;
    let both = bench.sets("roll").await;
    assert!(
        both.len() == 2 && both.contains(&(first[0].0.clone(), 0)),
        "{both:?}"
    );
    bench.set_image("roll", "web", "image:1").await;
    bench
        .until("the rollback", "roll", async |bench| {
            is_rolled_out(bench, "roll", "web").await
        })
        .await;
    let back = bench.sets("roll").await;
    assert!(
        back.len() == 2 && back.contains(&(first[0].0.clone(), 6)),
        "the first set is used again: {back:?}"
    );
    let set = bench.get(&REPLICA_SETS, "roll", &first[0].0).await.unwrap();
    let annotations = &set["metadata"]["annotations"];
    assert_eq!(
        (
            &annotations["deployment.kubernetes.io/revision"],
            &annotations["deployment.kubernetes.io/revision-history"]
        ),
        (&"3".into(), &"1".into())
    );
}

pub async fn a_killed_manager_goes_on_where_it_was(bench: &mut Bench) {
    bench.set_image("roll", "web", "image:4").await;
    bench
        .see("the new set", async |bench| bench.sets("roll").await.len() == 3)
        .await;
    bench.ours();
    bench
        .until("the rollout under the next manager", "roll", async |bench| {
            is_rolled_out(bench, "roll", "web").await
        })
        .await;
    let sets = bench.sets("roll").await;
    assert_eq!(
        (sets.len(), sets.iter().map(|(_, size)| size).sum::<i64>()),
        (3, 6),
        "{sets:?}"
    );
}

pub async fn upstream_takes_over_and_hands_back(bench: &mut Bench) {
    expose(bench).await;
    let (before, uids, slices) = (bench.sets("roll").await, pods(bench).await, slices(bench).await);
    if !bench.upstream() {
        return eprintln!("upstream's manager is not to be had: it takes nothing over");
    }
    // That it leads shows in what it does.
    bench.deploy("roll", "theirs", 1).await;
    bench
        .until("upstream's rollout", "roll", async |bench| {
            is_rolled_out(bench, "roll", "theirs").await
        })
        .await;
    let theirs: Vec<_> = bench
        .sets("roll")
        .await
        .into_iter()
        .filter(|(name, _)| name.starts_with("theirs-"))
        .collect();
    let web = async |bench: &Bench| {
        bench
            .sets("roll")
            .await
            .into_iter()
            .filter(|(name, _)| name.starts_with("web-"))
            .collect::<Vec<_>>()
    };
    assert_eq!(web(bench).await, before, "upstream finds our sets to be its own");
    bench.ours();
    bench.deploy("roll", "ours", 1).await;
    bench
        .until("our rollout", "roll", async |bench| {
            is_rolled_out(bench, "roll", "ours").await
        })
        .await;
    let after = bench.sets("roll").await;
    assert!(
        theirs.iter().all(|set| after.contains(set))
            && after
                .iter()
                .filter(|(name, _)| name.starts_with("theirs-"))
                .count()
                == 1
    );
    assert_eq!(web(bench).await, before, "we find upstream's sets to be ours");
    assert_eq!(self::slices(bench).await, slices, "no slice was written again");
    let now = pods(bench).await;
    assert!(uids.iter().all(|uid| now.contains(uid)), "no pod was replaced");
}

/// A Service over the pods; they are on no node, which matters only to Services that do not publish all.
async fn expose(bench: &Bench) {
    let service = json!({ "metadata": { "name": "web", "labels": { "team": "x" } },
        "spec": { "selector": { "app": "web" }, "publishNotReadyAddresses": true, "ports": [{ "port": 80, "targetPort": "http" }] } });
    bench
        .client
        .create::<Value, _>(&SERVICES, "roll", &service)
        .await
        .unwrap();
    bench
        .see("six endpoints", async |bench| {
            let slices = bench.list(&ENDPOINT_SLICES, "roll").await;
            slices
                .iter()
                .filter_map(|slice| slice["endpoints"].as_array().map(Vec::len))
                .sum::<usize>()
                == 6
        })
        .await;
}

/// Slices by name and version.
async fn slices(bench: &Bench) -> Vec<(Value, Value)> {
    let slices = bench.list(&ENDPOINT_SLICES, "roll").await;
    slices
        .iter()
        .map(|slice| {
            (
                slice["metadata"]["name"].clone(),
                slice["metadata"]["resourceVersion"].clone(),
            )
        })
        .collect()
}

async fn pods(bench: &Bench) -> Vec<String> {
    bench
        .list(&PODS, "roll")
        .await
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect()
}
