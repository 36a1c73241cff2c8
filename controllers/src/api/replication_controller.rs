//! ReplicationControllers.

use super::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Template};
use machinery::arith::LabelSelector;
use machinery::meta::{Object, ObjectMeta, null_default};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A core/v1 `ReplicationController`, read as the ReplicaSet that it amounts to: only its selector is written in another way.
#[derive(Clone, Debug, Default)]
pub struct ReplicationController(pub ReplicaSet);

impl Object for ReplicationController {
    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }
}

impl<'de> Deserialize<'de> for ReplicationController {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            metadata: ObjectMeta,
            #[serde(default)]
            spec: Spec,
            #[serde(default)]
            status: ReplicaSetStatus,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            replicas: i32,
            min_ready_seconds: i32,
            #[serde(deserialize_with = "null_default")]
            selector: BTreeMap<Box<str>, Box<str>>,
            template: Template,
        }
        impl Default for Spec {
            fn default() -> Self {
                Self {
                    replicas: 1,
                    min_ready_seconds: 0,
                    selector: BTreeMap::new(),
                    template: Template::default(),
                }
            }
        }
        let whole = Whole::deserialize(deserializer)?;
        let selector = LabelSelector {
            match_labels: whole.spec.selector,
            ..LabelSelector::default()
        };
        Ok(Self(ReplicaSet {
            metadata: whole.metadata,
            spec: ReplicaSetSpec {
                replicas: whole.spec.replicas,
                min_ready_seconds: whole.spec.min_ready_seconds,
                selector,
                template: whole.spec.template,
            },
            status: whole.status,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_replica_set() {
        let text = r#"{"metadata":{"name":"rc"},"spec":{"replicas":3,"selector":{"app":"web"},"template":{"metadata":{"labels":{"app":"web"}}}},
            "status":{"replicas":2,"observedGeneration":1}}"#;
        let rc: ReplicationController = serde_json::from_str(text).unwrap();
        assert_eq!((rc.0.spec.replicas, rc.0.status.replicas), (3, 2));
        assert_eq!(&*rc.0.spec.selector.match_labels["app"], "web");
        assert_eq!(rc.0.spec.template.labels.get("app"), Some("web"));
    }
}
