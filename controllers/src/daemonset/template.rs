//! The pods of a DaemonSet: its template, with what a daemon tolerates, for one node.

use super::placement::with_daemon_tolerations;
use crate::api::DaemonSet;
use crate::history::REVISION_HASH;
use crate::pods::{NewPod, draft};
use machinery::arith::Toleration;
use machinery::client::{ApiError, Bytes};
use machinery::meta::resources::DAEMON_SETS;
use serde_json::{Map, Value, json};

/// The generation of the template, which upstream still keeps for clients of old.
const GENERATION: &str = "deprecated.daemonset.template.generation";
/// The label with which pods say of which generation they are.
pub const POD_GENERATION: &str = "pod-template-generation";

/// The DaemonSet's template generation, where it has one.
pub fn generation(set: &DaemonSet) -> Option<i64> {
    set.metadata.annotations.get(GENERATION)?.parse().ok()
}

/// Makes the bodies that create pods.
pub struct PodMaker(NewPod<Value>);

impl PodMaker {
    /// Pods of the set's template, labelled with the revision's `hash`.
    ///
    /// # Errors
    /// When the template cannot be read.
    pub fn new(set: &DaemonSet, hash: &str) -> Result<Self, ApiError> {
        let mut draft = draft(&DAEMON_SETS, &set.metadata, &set.spec.template)?;
        let labels = &mut draft.metadata.labels;
        if let Some(generation) = generation(set) {
            labels.insert(POD_GENERATION, generation.to_string());
        }
        if !hash.is_empty() {
            labels.insert(REVISION_HASH, hash);
        }
        let mut spec = draft.read_spec()?;
        let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false);
        let held = spec.remove("tolerations").unwrap_or_default();
        let tolerations = serde_json::from_value::<Option<Vec<Toleration>>>(held)
            .map(|held| with_daemon_tolerations(held.unwrap_or_default(), host_network))
            .and_then(serde_json::to_value)
            .map_err(|cause| draft.failed(cause))?;
        spec.insert("tolerations".to_owned(), tolerations);
        Ok(Self(draft.with_spec(Value::Object(spec))))
    }

    /// The body for a pod on this node: the scheduler puts it there, since its node affinity allows nothing else.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn on(&mut self, node: &str) -> Result<Bytes, serde_json::Error> {
        let terms =
            json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }]);
        let path = [
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "nodeSelectorTerms",
        ];
        put(&mut self.0.body.spec, &path, terms);
        serde_json::to_vec(&self.0).map(Bytes::from)
    }
}

/// Puts `leaf` where the path leads, making objects on the way.
fn put(value: &mut Value, path: &[&str], leaf: Value) {
    let Some((head, rest)) = path.split_first() else {
        *value = leaf;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        put(map.entry(*head).or_insert(Value::Null), rest, leaf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::daemon_set;

    #[test]
    fn a_pod_is_bound_to_its_node_by_affinity() {
        let mut set = daemon_set("ds");
        set.metadata.annotations.insert(GENERATION, "3");
        let raw = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[],"affinity":{"podAffinity":{"x":1},"nodeAffinity":{
            "preferredDuringSchedulingIgnoredDuringExecution":[],"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{}]}}}}}"#;
        set.spec.template = serde_json::from_str(raw).unwrap();
        let mut maker = PodMaker::new(&set, "abc").unwrap();
        maker.on("n1").unwrap();
        let pod: Value = serde_json::from_slice(&maker.on("n2").unwrap()).unwrap();
        assert_eq!(
            pod["metadata"]["labels"],
            json!({ "app": "web", "pod-template-generation": "3", "controller-revision-hash": "abc" })
        );
        assert_eq!(pod["metadata"]["generateName"], "ds-");
        let affinity = &pod["spec"]["affinity"];
        assert_eq!(affinity["podAffinity"], json!({ "x": 1 }));
        assert_eq!(
            affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
            json!({ "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n2"] }] }] })
        );
        assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(6));
    }
}
