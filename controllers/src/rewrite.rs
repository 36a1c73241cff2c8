//! Changing an object that we see only a part of, where the account may update and not patch: read it whole, change it, write it.

use machinery::client::{ApiError, Client};
use machinery::meta::{ObjectMeta, Resource};
use serde_json::Value;

/// Reads the object; `None` when it is no longer the version that `seen` tells, so that a decision about it is out of date.
///
/// # Errors
/// As the API server says; an object that is gone is none.
pub async fn read(
    client: &Client,
    resource: &Resource,
    seen: &ObjectMeta,
) -> Result<Option<Value>, ApiError> {
    match client.get::<Value>(resource, &seen.namespace, &seen.name).await {
        Ok(object) => {
            let same = object["metadata"]["resourceVersion"] == *seen.resource_version;
            Ok(same.then_some(object))
        }
        Err(gone) if gone.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes an object, and returns it as written.
///
/// # Errors
/// As the API server says.
pub async fn write(
    client: &Client,
    resource: &Resource,
    seen: &ObjectMeta,
    object: &Value,
) -> Result<Value, ApiError> {
    client.update(resource, &seen.namespace, &seen.name, object).await
}

/// Writes an object's status, and returns the object as written.
///
/// # Errors
/// As the API server says.
pub async fn write_status(
    client: &Client,
    resource: &Resource,
    seen: &ObjectMeta,
    object: &Value,
) -> Result<Value, ApiError> {
    client
        .update_status(resource, &seen.namespace, &seen.name, object)
        .await
}

/// Adds a finalizer to the object, or takes it away.
pub fn set_finalizer(object: &mut Value, finalizer: &str, wanted: bool) {
    let held = &mut object["metadata"]["finalizers"];
    let mut finalizers: Vec<Value> = held.as_array().cloned().unwrap_or_default();
    finalizers.retain(|held| held != finalizer);
    if wanted {
        finalizers.push(finalizer.into());
    }
    *held = Value::Array(finalizers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finalizers_come_and_go() {
        let mut object = json!({ "metadata": { "finalizers": ["a", "b"] } });
        set_finalizer(&mut object, "a", false);
        assert_eq!(object["metadata"]["finalizers"], json!(["b"]));
        set_finalizer(&mut object, "c", true);
        assert_eq!(object["metadata"]["finalizers"], json!(["b", "c"]));
    }
}
