//! What a Lease says about who leads.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::meta::MicroTime;

/// The election record: the part of `LeaseSpec` that the election reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Empty if nobody leads.
    #[serde(rename = "holderIdentity")]
    pub holder: String,
    #[serde(rename = "leaseDurationSeconds")]
    pub duration_seconds: u32,
    pub acquire_time: Option<MicroTime>,
    pub renew_time: Option<MicroTime>,
    #[serde(rename = "leaseTransitions")]
    pub transitions: i32,
}

impl Record {
    /// From the object as the API server sent it; missing or odd fields count as empty.
    pub(super) fn of(lease: &Value) -> Self {
        let mut spec = lease.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        serde_json::from_value(spec).unwrap_or_default()
    }

    /// A new Lease with this record.
    pub(super) fn create(&self, namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": namespace, "name": name },
            "spec": self,
        })
    }

    /// `lease` with this record; everything else of it stays, its resource version above all. An end-of-term mark of
    /// coordinated election goes, as client-go drops it.
    pub(super) fn put_into(&self, lease: &mut Value) {
        let spec = json!(self);
        match lease.get_mut("spec").and_then(Value::as_object_mut) {
            Some(held) => {
                held.remove("preferredHolder");
                if let Value::Object(fields) = spec {
                    held.extend(fields);
                }
            }
            None => {
                if let Some(lease) = lease.as_object_mut() {
                    lease.insert("spec".into(), spec);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_written_in_place() {
        let mut lease = json!({
            "metadata": {"name": "l", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "leaseTransitions": 2,
                     "renewTime": "2026-01-02T03:04:05.000006Z", "acquireTime": null, "strategy": "s"}
        });
        let mut record = Record::of(&lease);
        assert_eq!(
            (record.holder.as_str(), record.transitions, record.acquire_time),
            ("x", 2, None)
        );
        record.holder = "y".into();
        record.put_into(&mut lease);
        assert_eq!(lease["spec"]["holderIdentity"], "y");
        assert_eq!(lease["spec"]["renewTime"], "2026-01-02T03:04:05.000006Z");
        assert_eq!(lease["spec"]["strategy"], "s");
        assert_eq!(lease["metadata"]["resourceVersion"], "7");
        assert_eq!(Record::of(&json!({})), Record::default());
    }
}
