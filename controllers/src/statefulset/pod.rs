//! The bodies of pods and claims.

use super::identity::{POD_INDEX, POD_NAME, claim_name, pod_name};
use crate::api::{ClaimTemplate, StatefulSet, Template};
use crate::history::REVISION_HASH;
use crate::pods::{NewPod, draft};
use machinery::client::ApiError;
use machinery::meta::resources::STATEFUL_SETS;
use serde_json::{Map, Value, json};

/// The body that creates the pod with this ordinal of a revision's template.
///
/// # Errors
/// When the template cannot be read.
pub fn body(
    set: &StatefulSet,
    template: &Template,
    revision: &str,
    ordinal: i64,
) -> Result<NewPod<Map<String, Value>>, ApiError> {
    let mut draft = draft(&STATEFUL_SETS, &set.metadata, template)?;
    let name = pod_name(set, ordinal);
    let labels = &mut draft.metadata.labels;
    labels.insert(POD_NAME, name.as_str());
    labels.insert(POD_INDEX, ordinal.to_string());
    labels.insert(REVISION_HASH, revision);
    draft.metadata.name = Some(name.as_str().into());
    let mut spec = draft.read_spec()?;
    spec.insert("hostname".to_owned(), name.into());
    if set.spec.service_name.is_empty() {
        spec.remove("subdomain");
    } else {
        spec.insert("subdomain".to_owned(), set.spec.service_name.as_str().into());
    }
    let volumes = volumes(set, ordinal, spec.remove("volumes").unwrap_or_default());
    if !volumes.is_empty() {
        spec.insert("volumes".to_owned(), Value::Array(volumes));
    }
    Ok(draft.with_spec(spec))
}

/// The volumes of a pod: the set's claims, and those of the template that no claim takes the place of.
pub fn volumes(set: &StatefulSet, ordinal: i64, template: Value) -> Vec<Value> {
    let claims = &set.spec.volume_claim_templates;
    let mut volumes: Vec<_> = claims
        .iter()
        .map(|claim| json!({ "name": claim.name, "persistentVolumeClaim": { "claimName": claim_name(set, &claim.name, ordinal) } }))
        .collect();
    if let Value::Array(others) = template {
        volumes.extend(others.into_iter().filter(|volume| {
            !claims
                .iter()
                .any(|claim| volume.get("name").and_then(Value::as_str) == Some(&*claim.name))
        }));
    }
    volumes
}

/// The body that creates the claim of a template for the pod with this ordinal.
///
/// # Errors
/// When the template is no object.
pub fn claim_body(
    set: &StatefulSet,
    template: &ClaimTemplate,
    ordinal: i64,
) -> Result<Value, serde_json::Error> {
    let mut claim: Map<String, Value> = serde_json::from_str(template.raw.get())?;
    claim.insert("apiVersion".to_owned(), "v1".into());
    claim.insert("kind".to_owned(), "PersistentVolumeClaim".into());
    if let Some(metadata) = claim
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
    {
        metadata.insert(
            "name".to_owned(),
            claim_name(set, &template.name, ordinal).as_str().into(),
        );
        metadata.insert("namespace".to_owned(), set.metadata.namespace.as_str().into());
        let labels = metadata.entry("labels").or_insert(Value::Null);
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        if let Some(labels) = labels.as_object_mut() {
            for (key, value) in &set.spec.selector.match_labels {
                labels.insert(key.to_string(), value.as_ref().into());
            }
        }
    }
    Ok(Value::Object(claim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stateful_set;

    #[test]
    fn a_pod_has_its_name_host_and_claims() {
        let set = stateful_set("web", 3, |spec| {
            spec["volumeClaimTemplates"] =
                json!([{ "metadata": { "name": "data", "labels": { "x": "y" } }, "spec": { "a": 1 } }]);
            spec["template"]["spec"]["volumes"] =
                json!([{ "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }]);
        });
        let pod = serde_json::to_value(body(&set, &set.spec.template, "web-abc", 2).unwrap()).unwrap();
        assert_eq!(pod["metadata"]["name"], "web-2");
        assert_eq!(
            pod["metadata"]["labels"],
            json!({ "app": "web", "statefulset.kubernetes.io/pod-name": "web-2", "apps.kubernetes.io/pod-index": "2", "controller-revision-hash": "web-abc" })
        );
        assert_eq!(
            (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
            (&json!("web-2"), &json!("svc"))
        );
        assert_eq!(
            pod["spec"]["volumes"],
            json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data-web-2" } }, { "name": "tmp", "emptyDir": {} }])
        );
        let claim = claim_body(&set, &set.spec.volume_claim_templates[0], 2).unwrap();
        assert_eq!(
            claim["metadata"],
            json!({ "name": "data-web-2", "namespace": "default", "labels": { "x": "y", "app": "web" } })
        );
        assert_eq!(claim["spec"], json!({ "a": 1 }));
    }
}
