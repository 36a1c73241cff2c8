//! Which pods' volumes can be expected to be ready in a moment: their sandbox is made meanwhile. Pure.
//!
//! A volume may wait for hours for what it refers to. Until it is there a pod gets no sandbox: it would hold an address for
//! nothing, and its condition `PodReadyToStartContainers` would promise too much.

use k8s_openapi::api::core::v1 as core;

use super::payload::projections;
use super::sync::used;
use super::{Kind, payload};

/// Every namespace has it; it is in the token volume that every pod gets.
const ROOT_CERTIFICATES: &str = "kube-root-ca.crt";

/// Whether none of the volumes that the pod's containers use may keep it waiting; `is_here`: the object is known and there.
pub(super) fn are_soon_there(pod: &core::Pod, is_here: impl Fn(Kind, &str) -> bool) -> bool {
    let used = used(pod);
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter(|volume| used.contains(volume.name.as_str()))
        .all(|volume| is_soon_there(volume, &is_here))
}

fn is_soon_there(volume: &core::Volume, is_here: &impl Fn(Kind, &str) -> bool) -> bool {
    if let Some(path) = &volume.host_path {
        // Any other type is a condition on what is there.
        return path.type_.as_deref().unwrap_or_default().is_empty();
    }
    if volume.empty_dir.is_some() || volume.image.is_some() || volume.downward_api.is_some() {
        return true;
    }
    let is_known = volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some();
    let asks_others = |source: &core::VolumeProjection| {
        source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some()
    };
    is_known
        && !projections(volume).any(asks_others)
        && payload::references(volume).iter().all(|(kind, name)| {
            (*kind == Kind::ConfigMap && name == ROOT_CERTIFICATES) || is_here(*kind, name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(volume: &Value, is_mounted: bool) -> core::Pod {
        let mounts = if is_mounted {
            json!([{ "name": "v", "mountPath": "/v" }])
        } else {
            json!([])
        };
        let mut volume = volume.clone();
        volume["name"] = "v".into();
        serde_json::from_value(json!({
            "metadata": { "name": "p" },
            "spec": { "volumes": [volume], "containers": [{ "name": "c", "volumeMounts": mounts }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_sandbox_is_not_made_for_a_pod_whose_volumes_may_never_come() {
        let token = json!({ "serviceAccountToken": { "path": "token" } });
        let roots = json!({ "configMap": { "name": "kube-root-ca.crt" } });
        let sources = |more: Value| json!({ "projected": { "sources": [token, roots, more] } });
        for (volume, want) in [
            (json!({ "emptyDir": {} }), true),
            (json!({ "hostPath": { "path": "/" } }), true),
            (json!({ "hostPath": { "path": "/", "type": "Directory" } }), false),
            (json!({ "configMap": { "name": "here" } }), true),
            (json!({ "configMap": { "name": "missing" } }), false),
            (json!({ "secret": { "secretName": "missing" } }), false),
            (json!({ "persistentVolumeClaim": { "claimName": "here" } }), false),
            (sources(json!({ "downwardAPI": {} })), true),
            (sources(json!({ "secret": { "name": "missing" } })), false),
            (
                sources(json!({ "clusterTrustBundle": { "name": "here", "path": "p" } })),
                false,
            ),
        ] {
            let is_here = |_, name: &str| name == "here";
            assert_eq!(are_soon_there(&pod(&volume, true), is_here), want, "{volume}");
            assert!(
                are_soon_there(&pod(&volume, false), is_here),
                "nobody uses {volume}"
            );
        }
    }
}
