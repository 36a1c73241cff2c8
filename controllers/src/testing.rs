//! Objects for the tests of the plans.

use crate::api::{DaemonSet, Deployment, Job, Pod, ReplicaSet, StatefulSet};
use serde_json::{Value, json};
use std::sync::Arc;

/// A pod under construction.
pub struct PodBuilder(Value);

/// A pending pod in the namespace `default` whose uid is `uid-NAME`.
pub fn pod(name: &str) -> PodBuilder {
    PodBuilder(
        json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {}, "annotations": {} },
                       "spec": {}, "status": { "phase": "Pending", "conditions": [] } }),
    )
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).unwrap().to_string()
}

impl PodBuilder {
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[key] = value.into();
        self
    }
    pub fn node(self, name: &str) -> Self {
        self.with("/spec/nodeName", name)
    }
    pub fn phase(self, phase: &str) -> Self {
        self.with("/status/phase", phase)
    }
    pub fn ready_at(self, second: i64) -> Self {
        let condition = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": time(second) }]);
        self.with("/status/conditions", condition)
    }
    pub fn created_at(self, second: i64) -> Self {
        self.with("/metadata/creationTimestamp", time(second))
    }
    pub fn restarts(self, count: i32) -> Self {
        self.with(
            "/status/containerStatuses",
            json!([{ "restartCount": 0 }, { "restartCount": count }]),
        )
    }
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = value.into();
        self
    }
    pub fn build(self) -> Pod {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
    pub fn arc(self) -> Arc<Pod> {
        Arc::new(self.build())
    }
}

/// A ReplicaSet of `app=web` in the namespace `default` whose uid is `uid-NAME`.
pub fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    let object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
                  "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A Job in the namespace `default` whose uid is `uid-NAME`, with this spec over a template of its own.
pub fn job(name: &str, spec: Value) -> Job {
    let mut object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "selector": { "matchLabels": { "job": name } },
                  "template": { "metadata": { "labels": { "job": name } }, "spec": { "containers": [{ "name": "c", "image": "i" }], "restartPolicy": "Never" } } } });
    overlay(&mut object["spec"], spec);
    serde_json::from_str(&object.to_string()).unwrap()
}

/// Sets the fields of `more` in `object`.
pub fn overlay(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("{more} is no object")
    };
    object.as_object_mut().unwrap().extend(more);
}

/// The pod as one of the Job's.
pub fn owned(pod: PodBuilder, job: &Job) -> PodBuilder {
    let owner = machinery::meta::OwnerRef::controller(&machinery::meta::resources::JOBS, &job.metadata);
    pod.with("/metadata/ownerReferences", json!([owner]))
}

/// A Deployment of `app=web` that rolls with 25% surge and unavailability.
pub fn deployment(name: &str, replicas: i32) -> Deployment {
    let object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } }, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                  "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                  "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A DaemonSet of `app=web` that rolls one node at a time.
pub fn daemon_set(name: &str) -> DaemonSet {
    let object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "revisionHistoryLimit": 10,
                  "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
                  "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A StatefulSet of `app=web` that comes up and rolls in order; `change` edits its spec.
pub fn stateful_set(name: &str, replicas: i32, change: impl FnOnce(&mut Value)) -> StatefulSet {
    let mut object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } }, "serviceName": "svc", "revisionHistoryLimit": 10,
                  "podManagementPolicy": "OrderedReady",
                  "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
                  "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    change(&mut object["spec"]);
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A Service of `app=web` with one port, 80 to 8080; `change` edits its spec.
pub fn service(name: &str, change: impl FnOnce(&mut Value)) -> crate::api::Service {
    let mut object = json!({ "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "creationTimestamp": time(100) },
        "spec": { "clusterIP": "10.96.0.10", "ipFamilies": ["IPv4"], "selector": { "app": "web" },
                  "ports": [{ "protocol": "TCP", "port": 80, "targetPort": 8080 }] } });
    change(&mut object["spec"]);
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A node under construction.
pub struct NodeBuilder(Value);

/// A node without conditions whose uid is `uid-NAME`.
pub fn node(name: &str) -> NodeBuilder {
    NodeBuilder(
        json!({ "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": {} }, "spec": {}, "status": { "conditions": [] } }),
    )
}

impl NodeBuilder {
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[key] = value.into();
        self
    }
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }
    pub fn build(self) -> crate::api::Node {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}
