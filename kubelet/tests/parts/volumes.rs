use super::*;
use k8s_openapi::api::core::v1 as core;
use kubelet::env::Environments;
use kubelet::volume::{Objects, PodVolumes, VolumeError, Volumes};
use machinery::client::PatchKind;
use machinery::meta::Resource;
use machinery::meta::resources::{CONFIG_MAPS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS};
use serde::de::IgnoredAny;
use serde_json::json;

fn read(volumes: &PodVolumes, volume: &str, file: &str) -> String {
    std::fs::read_to_string(volumes.by_name[volume].path.join(file)).unwrap_or_default()
}

/// Needs the right to mount: Secrets and tokens are kept in memory.
#[tokio::test]
async fn a_pod_waits_for_what_it_refers_to_and_sees_it_change() {
    let Some(server) = server().await else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let (root, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let admin = server.client();
    let create = async |resource: Resource, namespace: &str, body: serde_json::Value| {
        admin.create::<IgnoredAny, _>(&resource, namespace, &body).await
    };
    create(
        NAMESPACES,
        "",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vol"}}),
    )
    .await
    .unwrap();
    create(
        NODES,
        "",
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "vol-1"}}),
    )
    .await
    .unwrap();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    create(SERVICE_ACCOUNTS, "vol", account).await.unwrap();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {
            "nodeName": "vol-1", "serviceAccountName": "default", "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "i",
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}],
                "volumeMounts": [{"name": "map", "mountPath": "/map"}, {"name": "all", "mountPath": "/all"},
                                 {"name": "map", "mountPath": "/one", "subPath": "a"}]}],
            "volumes": [
                {"name": "map", "configMap": {"name": "late"}},
                {"name": "unused", "secret": {"secretName": "nobody-mounts-this"}},
                {"name": "all", "projected": {"sources": [
                    {"secret": {"name": "keys"}}, {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            ]},
    });
    let pod: core::Pod = admin.create(&PODS, "vol", &pod).await.unwrap();
    let uid = pod.metadata.uid.clone().unwrap();
    let pod = Arc::new(pod);

    let node = context(
        "vol-1",
        &kubelet_of(server, "vol-1"),
        root.path(),
        Flags::default(),
        &stop,
    );
    let objects = Arc::new(Objects::new(node.api.clone()));
    let volumes = Volumes::new(Arc::clone(&node), Arc::clone(&objects));
    let environments = Environments::new(Arc::clone(&node), objects);

    let waiting = volumes.mount(&pod).await.unwrap_err();
    assert_eq!(
        waiting.to_string(),
        "MountVolume.SetUp failed for volume \"map\" : configmap \"late\" not found"
    );
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"a": "1"}});
    create(CONFIG_MAPS, "vol", map).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), volumes.changed(&uid))
        .await
        .expect("told that it appeared");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"k": "s3"}});
    create(SECRETS, "vol", secret).await.unwrap();
    let mounted = eventually("everything is mounted", async || {
        match volumes.mount(&pod).await {
            Ok(mounted) => Some(mounted),
            Err(VolumeError::Waiting { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    assert_eq!(read(&mounted, "map", "a"), "1");
    assert_eq!(read(&mounted, "all", "k"), "s3");
    assert_eq!(read(&mounted, "all", "labels"), "app=\"web\"");
    assert!(read(&mounted, "all", "token").starts_with("ey"));
    let spec = &pod.spec.as_ref().unwrap().containers[0];
    let env = environments.resolve(&pod, spec, &[], &mounted).await.unwrap();
    assert_eq!(env[0], ("A".to_owned(), "1".to_owned()));
    let mounts = volumes
        .container_mounts(&pod, spec, &mounted, &env)
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(&mounts[2].host_path).unwrap(), "1");

    // What changes is written again, without being asked.
    let change = json!({"data": {"a": "2", "b": "3"}});
    admin
        .patch::<IgnoredAny, _>(&CONFIG_MAPS, "vol", "late", PatchKind::Merge, &change)
        .await
        .unwrap();
    eventually("the change arrives", async || {
        (read(&mounted, "map", "b") == "3").then_some(())
    })
    .await;
    assert_eq!(read(&mounted, "map", "a"), "2");
    let mut relabelled = core::Pod::clone(&pod);
    relabelled.metadata.labels = Some([("app".to_owned(), "db".to_owned())].into());
    volumes.keep(&Arc::new(relabelled));
    eventually("the label arrives", async || {
        (read(&mounted, "all", "labels") == "app=\"db\"").then_some(())
    })
    .await;

    volumes.unmount(&uid).await.unwrap();
    let left = std::fs::read_dir(node.paths.pod(&uid)).unwrap().count();
    assert_eq!(left, 0, "volumes, sub-paths and markers are gone");
    volumes.unmount(&uid).await.unwrap();
}
