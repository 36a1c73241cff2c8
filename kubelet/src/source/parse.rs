//! A static pod out of the text of its file: pure.

use k8s_openapi::api::core::v1 as core;
use sha2::{Digest as _, Sha256};

use super::defaults;
use crate::pod::spec::{CONFIG_HASH, CONFIG_SOURCE};

/// The pod of a file. Its uid is a hash of its content and origin: a changed file is another pod.
///
/// # Errors
/// When the text is no pod.
pub fn pod(text: &str, origin: &str, node: &str) -> Result<core::Pod, String> {
    let document: serde_json::Value = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let kind = |key: &str| {
        document
            .get(key)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    if kind("apiVersion") != "v1" || kind("kind") != "Pod" {
        return Err(format!(
            "it is {} {}, not a v1 Pod",
            kind("apiVersion"),
            kind("kind")
        ));
    }
    let mut pod: core::Pod = serde_json::from_value(document).map_err(|e| e.to_string())?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err("metadata.name is missing".into());
    }
    if pod.spec.as_ref().is_none_or(|s| s.containers.is_empty()) {
        return Err("spec.containers is missing".into());
    }
    refuse_references(&pod)?;
    defaults::pod(&mut pod);
    let uid = match pod.metadata.uid.take().filter(|u| !u.is_empty()) {
        Some(uid) => uid,
        None => {
            let content = serde_json::to_vec(&pod).map_err(|e| e.to_string())?;
            let hash = Sha256::new()
                .chain_update(content)
                .chain_update(format!("host:{node}file:{origin}"))
                .finalize();
            hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
        }
    };
    let meta = &mut pod.metadata;
    meta.name = Some(format!("{name}-{}", node.to_lowercase()));
    meta.namespace = Some(
        meta.namespace
            .take()
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| "default".into()),
    );
    meta.uid = Some(uid.clone());
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.into(), uid);
    annotations.insert(CONFIG_SOURCE.into(), "file".into());
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node.to_owned());
    let tolerations = spec.tolerations.get_or_insert_default();
    let every = |t: &core::Toleration| {
        t.operator.as_deref() == Some("Exists")
            && t.effect.as_deref() == Some("NoExecute")
            && t.key.as_deref().unwrap_or_default().is_empty()
    };
    if !tolerations.iter().any(every) {
        tolerations.push(core::Toleration {
            operator: Some("Exists".into()),
            effect: Some("NoExecute".into()),
            ..Default::default()
        });
    }
    pod.status = Some(core::PodStatus {
        phase: Some("Pending".into()),
        ..Default::default()
    });
    Ok(pod)
}

/// A static pod may not lean on other API objects: nobody checks whether it may read them.
fn refuse_references(pod: &core::Pod) -> Result<(), String> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    if spec
        .service_account_name
        .as_deref()
        .is_some_and(|s| !s.is_empty())
    {
        return Err("a static pod may not use a service account".into());
    }
    for volume in spec.volumes.iter().flatten() {
        let kind = match volume {
            v if v.secret.is_some() => "a secret",
            v if v.config_map.is_some() => "a configMap",
            v if v.persistent_volume_claim.is_some() => "a persistentVolumeClaim",
            v if v.projected.is_some() => "a projected volume",
            _ => continue,
        };
        return Err(format!(
            "a static pod may not use {kind} (volume {})",
            volume.name
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: c, image: 'x:1'}\n";

    #[test]
    fn a_file_becomes_a_pod_of_this_node() {
        let pod = pod(FILE, "/etc/m/web.yaml", "N1").unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("web-n1"));
        assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(
            pod.metadata.annotations.as_ref().unwrap()[CONFIG_HASH],
            pod.metadata.uid.clone().unwrap()
        );
        let spec = pod.spec.unwrap();
        assert_eq!(
            spec.containers[0].image_pull_policy.as_deref(),
            Some("IfNotPresent")
        );
        assert_eq!(spec.tolerations.unwrap().len(), 1);
    }

    #[test]
    fn the_uid_changes_with_the_content_and_the_origin() {
        let uid = |text: &str, origin| pod(text, origin, "n1").unwrap().metadata.uid.unwrap();
        assert_eq!(uid(FILE, "a"), uid(&format!("# said otherwise\n{FILE}"), "a"));
        assert_ne!(uid(FILE, "a"), uid(FILE, "b"));
        assert_ne!(uid(FILE, "a"), uid(&FILE.replace("x:1", "x:2"), "a"));
    }

    #[test]
    fn what_is_no_pod_is_refused_with_a_reason() {
        for (text, words) in [
            ("kind: Pod", "not a v1 Pod"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {}", "metadata.name"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}",
                "spec.containers",
            ),
            (&format!("{FILE}  serviceAccountName: x\n"), "service account"),
            ("{", ""),
        ] {
            let error = pod(text, "f", "n").unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
