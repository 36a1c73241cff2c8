//! Nodes.

use machinery::arith::taint::Taint;
use machinery::meta::{Istr, Object, ObjectMeta, null_default};
use serde::{Deserialize, Deserializer};

use super::requests::{Requests, ResourceList};
use super::wire::normalized_image;

/// A node. Annotations are not kept: whether they changed is not asked by any plugin of ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub meta: ObjectMeta,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Requests,
    pub allowed_pods: i64,
    /// Images and their sizes in bytes, by every name that they have.
    pub images: Vec<(Istr, i64)>,
    /// Types of conditions whose status is `True`, sorted.
    pub conditions: Vec<Istr>,
    pub declared_features: Vec<Istr>,
}

impl Node {
    /// Whether nothing differs that is scheduled by.
    pub fn same_for_scheduling(&self, other: &Node) -> bool {
        self.meta.labels == other.meta.labels
            && self.unschedulable == other.unschedulable
            && self.taints == other.taints
            && self.allocatable == other.allocatable
            && self.allowed_pods == other.allowed_pods
            && self.images == other.images
            && self.conditions == other.conditions
            && self.declared_features == other.declared_features
    }
}

impl Object for Node {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireNode {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    #[serde(deserialize_with = "null_default")]
    taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    allocatable: ResourceList,
    #[serde(deserialize_with = "null_default")]
    images: Vec<Image>,
    #[serde(deserialize_with = "null_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_default")]
    declared_features: Vec<Istr>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    #[serde(deserialize_with = "null_default")]
    names: Vec<Istr>,
    size_bytes: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: Istr,
    status: Istr,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireNode {
            metadata: mut meta,
            spec,
            status,
        } = WireNode::deserialize(deserializer)?;
        meta.annotations = Default::default();
        meta.finalizers = Vec::new();
        meta.owner_references = Vec::new();
        let mut allocatable = Requests::from_list(&status.allocatable);
        let allowed_pods = allocatable.scalar("pods");
        allocatable.scalars.retain(|(name, _)| name != "pods");
        let mut taints = spec.taints;
        for taint in &mut taints {
            // When a taint was added does not matter here, and would make equal taint sets differ.
            taint.time_added = None;
        }
        let mut conditions: Vec<Istr> = status
            .conditions
            .into_iter()
            .filter(|c| c.status == "True")
            .map(|c| c.r#type)
            .collect();
        conditions.sort();
        let images = status.images.into_iter();
        Ok(Node {
            meta,
            unschedulable: spec.unschedulable,
            taints,
            allocatable,
            allowed_pods,
            images: images
                .flat_map(|image| {
                    let size = image.size_bytes;
                    image
                        .names
                        .into_iter()
                        .map(move |name| (normalized_image(&name), size))
                })
                .collect(),
            conditions,
            declared_features: status.declared_features,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_what_scheduling_reads() {
        let node: Node = serde_json::from_str(
            r#"{"metadata":{"name":"n1","labels":{"zone":"a"},"annotations":{"x":"y"}},
            "spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoExecute","timeAdded":"2026-01-01T00:00:00Z"}]},
            "status":{"allocatable":{"cpu":"3920m","memory":"8Gi","pods":"110","example.com/gpu":"2"},
              "images":[{"names":["r/x:v1"],"sizeBytes":5}],
              "conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"False"}]}}"#,
        )
        .unwrap();
        assert_eq!(node.allocatable.milli_cpu, 3920);
        assert_eq!(node.allowed_pods, 110);
        assert_eq!(
            node.allocatable.scalars.to_vec(),
            [(Istr::from("example.com/gpu"), 2)]
        );
        assert_eq!(node.images, [(Istr::from("r/x:v1"), 5)]);
        assert_eq!(node.conditions, [Istr::from("Ready")]);
        assert!(node.unschedulable && node.taints[0].time_added.is_none());
    }
}
