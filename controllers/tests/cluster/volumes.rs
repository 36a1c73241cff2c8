//! PersistentVolumes and claims.

use crate::bench::Bench;
use machinery::client::{DeleteOptions, PatchKind};
use machinery::meta::resources::{
    PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "volumes";

async fn volume(bench: &Bench, name: &str, size: &str) {
    let body = json!({ "metadata": { "name": name }, "spec": { "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": "/tmp/x" } } });
    bench
        .client
        .create::<Value, _>(&PERSISTENT_VOLUMES, "", &body)
        .await
        .unwrap();
}

async fn claim(bench: &Bench, name: &str) {
    let body = json!({ "metadata": { "name": name }, "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "resources": { "requests": { "storage": "1Gi" } } } });
    bench
        .client
        .create::<Value, _>(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, &body)
        .await
        .unwrap();
}

async fn delete_claim(bench: &Bench, name: &str) {
    bench
        .client
        .delete(
            &PERSISTENT_VOLUME_CLAIMS,
            NAMESPACE,
            name,
            &DeleteOptions::default(),
        )
        .await
        .unwrap();
}

async fn phase(bench: &Bench, volume: &str) -> Value {
    bench
        .get(&PERSISTENT_VOLUMES, "", volume)
        .await
        .map(|volume| volume["status"]["phase"].clone())
        .unwrap_or_default()
}

async fn is_bound(bench: &Bench, claim: &str) -> bool {
    bench
        .get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, claim)
        .await
        .is_some_and(|claim| claim["status"]["phase"] == "Bound")
}

pub async fn claims_are_bound_and_released(bench: &Bench) {
    bench.namespace(NAMESPACE).await;
    claim(bench, "data").await;
    volume(bench, "large", "9Gi").await;
    volume(bench, "small", "512Mi").await;
    bench
        .see("the claim is bound", async |bench| is_bound(bench, "data").await)
        .await;
    assert_eq!(phase(bench, "large").await, "Bound");
    bench
        .see("the other volume waits", async |bench| {
            phase(bench, "small").await == "Available"
        })
        .await;
    let claim = bench
        .get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
        .await
        .unwrap();
    assert_eq!(claim["spec"]["volumeName"], "large");
    assert_eq!(claim["status"]["capacity"]["storage"], "9Gi");
    assert_eq!(
        claim["metadata"]["annotations"],
        json!({ "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes" })
    );
    bench
        .see("it says that nobody uses it", async |bench| {
            let claim = bench.get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data").await;
            claim.is_some_and(|claim| {
                claim["status"]["conditions"][0]["type"] == "Unused"
                    && claim["status"]["conditions"][0]["status"] == "True"
            })
        })
        .await;
    delete_claim(bench, "data").await;
    bench
        .see("the claim is gone and the volume released", async |bench| {
            let claim = bench.get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data").await;
            claim.is_none() && phase(bench, "large").await == "Released"
        })
        .await;
    bench
        .client
        .delete(&PERSISTENT_VOLUMES, "", "large", &DeleteOptions::default())
        .await
        .unwrap();
    bench
        .see("the volume is gone", async |bench| {
            bench.get(&PERSISTENT_VOLUMES, "", "large").await.is_none()
        })
        .await;
}

pub async fn claims_in_use_stay(bench: &Bench) {
    volume(bench, "used", "2Gi").await;
    claim(bench, "held").await;
    bench
        .see("the claim is bound", async |bench| is_bound(bench, "held").await)
        .await;
    let pod = json!({ "metadata": { "name": "user" }, "spec": { "nodeName": "somewhere", "terminationGracePeriodSeconds": 0,
        "containers": [{ "name": "c", "image": "i" }], "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "held" } }] } });
    bench
        .client
        .create::<Value, _>(&PODS, NAMESPACE, &pod)
        .await
        .unwrap();
    bench
        .see("it says that it is used", async |bench| {
            let claim = bench.get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "held").await;
            claim.is_some_and(|claim| claim["status"]["conditions"][0]["status"] == "False")
        })
        .await;
    delete_claim(bench, "held").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(
        is_bound(bench, "held").await,
        "the claim stays as long as the pod"
    );
    let now = DeleteOptions::default().grace(0);
    bench.client.delete(&PODS, NAMESPACE, "user", &now).await.unwrap();
    bench
        .see("the claim goes after the pod", async |bench| {
            bench
                .get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "held")
                .await
                .is_none()
        })
        .await;
}

pub async fn pods_bring_their_claims(bench: &Bench) {
    let pod = json!({ "metadata": { "name": "own" }, "spec": { "containers": [{ "name": "c", "image": "i" }],
        "volumes": [{ "name": "v", "ephemeral": { "volumeClaimTemplate": { "metadata": { "labels": { "a": "b" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": { "storage": "1Gi" } } } } } }] } });
    bench
        .client
        .create::<Value, _>(&PODS, NAMESPACE, &pod)
        .await
        .unwrap();
    bench
        .see("the pod's claim", async |bench| {
            let claim = bench.get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "own-v").await;
            claim.is_some_and(|claim| {
                claim["metadata"]["labels"]["a"] == "b"
                    && claim["metadata"]["ownerReferences"][0]["name"] == "own"
            })
        })
        .await;
    // Nothing holds it, and it has no volume: it goes with the pod.
    let patch = json!({ "metadata": { "finalizers": null } });
    let _ = bench
        .client
        .patch::<Value, _>(&PODS, NAMESPACE, "own", PatchKind::Merge, &patch)
        .await;
    let now = DeleteOptions::default().grace(0);
    bench.client.delete(&PODS, NAMESPACE, "own", &now).await.unwrap();
    bench
        .see("the claim goes with the pod", async |bench| {
            bench
                .get(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "own-v")
                .await
                .is_none()
        })
        .await;
}

pub async fn attributes_classes_in_use_stay(bench: &Bench) {
    let gone = async |bench: &Bench, class: &str| {
        let class = bench.get(&VOLUME_ATTRIBUTES_CLASSES, "", class).await;
        class.is_none()
    };
    for name in ["unused", "of-claim", "of-volume"] {
        let class = json!({ "metadata": { "name": name }, "driverName": "example.com", "parameters": { "iops": "1" } });
        bench
            .client
            .create::<Value, _>(&VOLUME_ATTRIBUTES_CLASSES, "", &class)
            .await
            .unwrap();
    }
    let claim = json!({ "metadata": { "name": "fast" }, "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "none",
        "volumeAttributesClassName": "of-claim", "resources": { "requests": { "storage": "1Gi" } } } });
    bench
        .client
        .create::<Value, _>(&PERSISTENT_VOLUME_CLAIMS, NAMESPACE, &claim)
        .await
        .unwrap();
    let volume = json!({ "metadata": { "name": "fast" }, "spec": { "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
        "volumeAttributesClassName": "of-volume", "csi": { "driver": "example.com", "volumeHandle": "v" } } });
    bench
        .client
        .create::<Value, _>(&PERSISTENT_VOLUMES, "", &volume)
        .await
        .unwrap();
    // The manager does not ask the API server whether something has just begun to use a class.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for name in ["unused", "of-claim", "of-volume"] {
        bench
            .client
            .delete(&VOLUME_ATTRIBUTES_CLASSES, "", name, &DeleteOptions::default())
            .await
            .unwrap();
    }
    bench
        .see("the unused class goes", async |bench| gone(bench, "unused").await)
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!gone(bench, "of-claim").await, "it stays as long as the claim");
    assert!(!gone(bench, "of-volume").await, "it stays as long as the volume");
    delete_claim(bench, "fast").await;
    bench
        .see("the class goes after the claim", async |bench| {
            gone(bench, "of-claim").await
        })
        .await;
    bench
        .client
        .delete(&PERSISTENT_VOLUMES, "", "fast", &DeleteOptions::default())
        .await
        .unwrap();
    bench
        .see("the class goes after the volume", async |bench| {
            gone(bench, "of-volume").await
        })
        .await;
}
