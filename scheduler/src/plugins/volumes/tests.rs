//! Case by case.

use std::sync::Arc;

use machinery::meta::ObjectKey;
use serde_json::{Value, json};

use crate::cache::Snapshot;
use crate::core::Attempt;
use crate::queue::Moment;
use crate::testing::{add_nodes, add_pods, feasible, node, on, only, pod, scheduler, snapshot};

fn with_claim(name: &str, claim: &str) -> Value {
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": claim } });
    pod(name, &json!({}), &json!({ "volumes": [volume] }))
}

fn claim(snapshot: &mut Snapshot, name: &str, volume: Option<&str>, mode: &str) {
    let annotations = volume.map_or(json!({}), |_| json!({ "pv.kubernetes.io/bind-completed": "yes" }));
    let claim = json!({
        "metadata": { "name": name, "namespace": "default", "annotations": annotations },
        "spec": { "volumeName": volume.unwrap_or_default(), "storageClassName": "late", "accessModes": [mode] },
    });
    let claim = Arc::new(serde_json::from_value(claim).unwrap());
    snapshot
        .volumes_mut()
        .set_claim(&ObjectKey::new("default", name), Some(claim));
}

fn volume(snapshot: &mut Snapshot, name: &str, labels: &Value, nodes: &[&str]) {
    let on_nodes = json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [
        { "key": "kubernetes.io/hostname", "operator": "In", "values": nodes }] }] } });
    let affinity = if nodes.is_empty() { Value::Null } else { on_nodes };
    let volume =
        json!({ "metadata": { "name": name, "labels": labels }, "spec": { "nodeAffinity": affinity } });
    let volume = Arc::new(serde_json::from_value(volume).unwrap());
    snapshot.volumes_mut().set_volume(&name.into(), Some(volume));
}

#[test]
fn bound_volumes_say_where_they_can_be_reached() {
    let plugin = only("VolumeBinding", &json!({}));
    let mut snapshot = snapshot(&[node("a", "1"), node("b", "2")], &[]);
    claim(&mut snapshot, "local", Some("local"), "ReadWriteOnce");
    claim(&mut snapshot, "anywhere", Some("anywhere"), "ReadWriteOnce");
    claim(&mut snapshot, "gone", Some("gone"), "ReadWriteOnce");
    volume(&mut snapshot, "local", &json!({}), &["b"]);
    volume(&mut snapshot, "anywhere", &json!({}), &[]);
    for (name, want) in [("local", &["b"][..]), ("anywhere", &["a", "b"]), ("gone", &[])] {
        assert_eq!(
            feasible(&plugin, &mut snapshot, &with_claim("p", name)),
            want,
            "{name}"
        );
    }
}

#[test]
fn zone_labels_of_volumes_bind_pods_to_zones() {
    let plugin = only("VolumeZone", &json!({}));
    let mut snapshot = snapshot(&[node("a", "1"), node("b", "2"), node("c", "3")], &[]);
    claim(&mut snapshot, "zonal", Some("zonal"), "ReadWriteOnce");
    volume(
        &mut snapshot,
        "zonal",
        &json!({ "failure-domain.beta.kubernetes.io/zone": "1__3" }),
        &[],
    );
    assert_eq!(
        feasible(&plugin, &mut snapshot, &with_claim("p", "zonal")),
        ["a", "c"]
    );
}

#[test]
fn a_claim_for_one_pod_has_one_user() {
    let plugin = only("VolumeRestrictions", &json!({}));
    let mut snapshot = snapshot(&[node("a", "1")], &[on("a", with_claim("first", "alone"))]);
    claim(&mut snapshot, "alone", Some("v"), "ReadWriteOncePod");
    assert!(feasible(&plugin, &mut snapshot, &with_claim("p", "alone")).is_empty());
    snapshot.forget("uid-first");
    assert_eq!(feasible(&plugin, &mut snapshot, &with_claim("p", "alone")), ["a"]);
}

#[test]
fn unbound_claims_are_named() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1")]);
    add_pods(&mut scheduler, &[with_claim("p", "missing")]);
    let Some(Attempt::Refused(refusal)) = scheduler.next(Moment::from_secs(1)) else {
        panic!()
    };
    assert_eq!(
        refusal.message,
        "0/1 nodes are available: persistentvolumeclaim \"missing\" not found. \
         preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
}
