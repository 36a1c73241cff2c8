//! The strategic merge patch that turns the API's status into ours, and nothing else.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value, json};

/// Lists that the API merges by a key; all others are replaced whole.
const KEYED: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];

/// The body of the patch, `None` when nothing differs. `uid` makes it miss a namesake.
#[must_use]
pub fn between(uid: &str, theirs: &core::PodStatus, ours: &core::PodStatus) -> Option<Value> {
    let theirs = serde_json::to_value(theirs).ok()?;
    let ours = serde_json::to_value(ours).ok()?;
    let changes = changes(theirs.as_object()?, ours.as_object()?);
    if changes.is_empty() {
        return None;
    }
    Some(json!({ "metadata": { "uid": uid }, "status": changes }))
}

fn changes(theirs: &Map<String, Value>, ours: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (field, value) in ours {
        let before = theirs.get(field);
        if before == Some(value) {
            continue;
        }
        match KEYED.iter().find(|(name, _)| name == field) {
            Some((_, key)) => {
                if *key == "ip" {
                    // Order matters here (the first is the primary one): replace the list.
                    let mut list = vec![json!({ "$patch": "replace" })];
                    list.extend(value.as_array().into_iter().flatten().cloned());
                    out.insert(field.clone(), Value::Array(list));
                } else {
                    let list = keyed(before, value, key);
                    if !list.is_empty() {
                        out.insert(field.clone(), Value::Array(list));
                    }
                }
            }
            None => match (before.and_then(Value::as_object), value.as_object()) {
                // A merge goes into objects: what went from inside has to be named there.
                (Some(before), Some(now)) => {
                    out.insert(field.clone(), Value::Object(changes(before, now)));
                }
                _ => {
                    out.insert(field.clone(), value.clone());
                }
            },
        }
    }
    for field in theirs.keys().filter(|f| !ours.contains_key(*f)) {
        out.insert(field.clone(), Value::Null);
    }
    out
}

/// Entries that are new or changed, and directives for those that go.
fn keyed(theirs: Option<&Value>, ours: &Value, key: &str) -> Vec<Value> {
    let entries =
        |v: Option<&Value>| -> Vec<Value> { v.and_then(Value::as_array).cloned().unwrap_or_default() };
    let (theirs, ours) = (entries(theirs), entries(Some(ours)));
    let find = |list: &[Value], entry: &Value| list.iter().find(|e| e.get(key) == entry.get(key)).cloned();
    let mut out = Vec::new();
    for entry in &ours {
        match find(&theirs, entry) {
            Some(before) if before == *entry => {}
            Some(before) => {
                let mut entry = entry.clone();
                // A merge leaves what it does not name: name what went.
                if let (Some(now), Some(before)) = (entry.as_object_mut(), before.as_object()) {
                    for gone in before.keys() {
                        now.entry(gone.clone()).or_insert(Value::Null);
                    }
                }
                out.push(entry);
            }
            None => out.push(entry.clone()),
        }
    }
    for entry in theirs.iter().filter(|e| find(&ours, e).is_none()) {
        out.push(json!({ "$patch": "delete", key: entry.get(key) }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn condition(kind: &str, status: &str, reason: Option<&str>) -> core::PodCondition {
        core::PodCondition {
            type_: kind.into(),
            status: status.into(),
            reason: reason.map(Into::into),
            ..Default::default()
        }
    }

    #[test]
    fn what_went_from_inside_an_object_is_named() {
        let with = |limits: &[(&str, &str)]| core::PodStatus {
            resources: Some(core::ResourceRequirements {
                limits: Some(
                    limits
                        .iter()
                        .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                        .collect(),
                ),
                ..Default::default()
            }),
            ..Default::default()
        };
        let patch = between(
            "u",
            &with(&[("cpu", "1"), ("memory", "2")]),
            &with(&[("cpu", "3")]),
        )
        .unwrap();
        assert_eq!(
            patch["status"],
            json!({ "resources": { "limits": { "cpu": "3", "memory": null } } })
        );
        let patch = between("u", &with(&[("cpu", "1")]), &core::PodStatus::default()).unwrap();
        assert_eq!(patch["status"], json!({ "resources": null }));
    }

    #[test]
    fn only_what_differs_is_sent() {
        let theirs = core::PodStatus {
            phase: Some("Pending".into()),
            reason: Some("x".into()),
            conditions: Some(vec![
                condition("Ready", "False", Some("ContainersNotReady")),
                condition("PodScheduled", "True", None),
                condition("Gone", "True", None),
            ]),
            ..Default::default()
        };
        let ours = core::PodStatus {
            phase: Some("Running".into()),
            conditions: Some(vec![
                condition("Ready", "True", None),
                condition("PodScheduled", "True", None),
            ]),
            pod_ips: Some(vec![core::PodIP {
                ip: "10.0.0.1".into(),
            }]),
            ..Default::default()
        };
        assert!(between("u", &ours, &ours).is_none());
        let patch = between("u", &theirs, &ours).unwrap();
        assert_eq!(
            patch,
            json!({ "metadata": { "uid": "u" }, "status": {
                "phase": "Running",
                "reason": null,
                "conditions": [
                    { "type": "Ready", "status": "True", "reason": null },
                    { "$patch": "delete", "type": "Gone" },
                ],
                "podIPs": [{ "$patch": "replace" }, { "ip": "10.0.0.1" }],
            }})
        );
    }
}
