//! The smallest strategic merge patch between two versions of the Node.
//!
//! Lists of a Node's status are atomic, but for `conditions`, which merge by `type`, and `addresses`, which the API
//! also merges by `type`, wrongly for a node with two addresses of a type: that list is replaced as a whole.

use k8s_openapi::api::core::v1::Node;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The patch of labels, annotations and status that makes `new` of `old`; `None` if there is nothing to send.
pub fn status(old: &Node, new: &Node) -> Option<Value> {
    let mut patch = Map::new();
    let mut metadata = Map::new();
    for (field, old, new) in [
        ("labels", &old.metadata.labels, &new.metadata.labels),
        (
            "annotations",
            &old.metadata.annotations,
            &new.metadata.annotations,
        ),
    ] {
        if let Some(change) = merge(old, new) {
            metadata.insert(field.to_owned(), change);
        }
    }
    if !metadata.is_empty() {
        patch.insert("metadata".to_owned(), Value::Object(metadata));
    }
    if let Some(mut status) = merge(&old.status, &new.status) {
        if let Some(Value::Array(addresses)) = status.get_mut("addresses") {
            addresses.insert(0, json!({"$patch": "replace"}));
        }
        if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
            let known = value(&old.status);
            let known = known.get("conditions").and_then(Value::as_array);
            conditions.retain(|condition| !known.is_some_and(|known| known.contains(condition)));
        }
        patch.insert("status".to_owned(), status);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The merge patch from `old` to `new`; absent and empty are the same, as the API server drops empty fields.
pub fn merge<T: Serialize>(old: &T, new: &T) -> Option<Value> {
    difference(&value(old), &value(new))
}

fn value<T: Serialize>(of: &T) -> Value {
    // Nodes always serialise: their maps have string keys.
    serde_json::to_value(of).unwrap_or_default()
}

fn difference(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        _ if old == new || (is_empty(old) && is_empty(new)) => None,
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for name in old
                .keys()
                .filter(|name| new.get(*name).is_none_or(Value::is_null))
            {
                if !old.get(name).is_none_or(is_empty) {
                    patch.insert(name.clone(), Value::Null);
                }
            }
            for (name, new) in new.iter().filter(|(_, new)| !new.is_null()) {
                if let Some(change) = difference(old.get(name).unwrap_or(&Value::Null), new) {
                    patch.insert(name.clone(), change);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => Some(new.clone()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_changed_is_sent() {
        let old = node(json!({
            "metadata": {"name": "n1", "labels": {"a": "1", "b": "2"}},
            "status": {"capacity": {"cpu": "2", "gone": "1"},
                       "conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]},
        }));
        let new = node(json!({
            "metadata": {"name": "n1", "labels": {"a": "1", "b": "3"}},
            "status": {"capacity": {"cpu": "2"},
                       "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}]},
        }));
        assert_eq!(
            status(&old, &new),
            Some(json!({
                "metadata": {"labels": {"b": "3"}},
                "status": {"capacity": {"gone": null}, "conditions": [{"type": "Ready", "status": "True"}]},
            }))
        );
        assert_eq!(status(&new, &new), None);
    }

    #[test]
    fn addresses_are_replaced_as_a_whole() {
        let old = node(json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}));
        let new = node(
            json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"},
                                                        {"type": "InternalIP", "address": "fd00::1"}]}}),
        );
        assert_eq!(
            status(&old, &new),
            Some(json!({"status": {"addresses": [{"$patch": "replace"},
                {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "fd00::1"}]}}))
        );
    }

    #[test]
    fn absent_and_empty_are_the_same() {
        let old = node(json!({"status": {}}));
        let new = node(json!({"status": {"images": [], "volumesInUse": [], "nodeInfo": {}}}));
        assert_eq!(status(&old, &new), None);
        assert_eq!(status(&new, &old), None);
    }

    proptest::proptest! {
        #[test]
        fn applying_the_merge_gives_the_new_value(old in objects(), new in objects()) {
            let mut applied = old.clone();
            if let Some(patch) = difference(&old, &new) {
                apply(&mut applied, &patch);
            }
            proptest::prop_assert!(difference(&applied, &new).is_none(), "{applied} is not {new}");
        }
    }

    fn objects() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            proptest::collection::vec(0_i64..3, 0..3).prop_map(Value::from),
        ];
        let object = |inner: BoxedStrategy<Value>| {
            proptest::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
                .boxed()
        };
        object(prop_oneof![leaf.clone(), object(leaf.boxed())].boxed())
    }

    /// RFC 7386.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let target = target.as_object_mut().unwrap();
        for (name, change) in patch {
            if change.is_null() {
                target.remove(name);
            } else {
                apply(target.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }
}
