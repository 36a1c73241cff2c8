//! Node and pod objects show what upstream's show: the same fields, and the same values where they can be the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::plan::choice::{Component, Origin};
use e2e::rig::{Namespace, Rig, agnhost, eventually, shared};
use serde_json::{Value, json};

/// Fields whose values are of the moment.
const MOMENT: [&str; 14] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "lastHeartbeatTime",
    "lastTransitionTime",
    "startedAt",
    "finishedAt",
    "startTime",
    "containerID",
    "ip",
    "podIP",
    "sizeBytes",
    "generation",
    "observedGeneration",
];

/// A kubelet declares what it can do: ours may do less than upstream's, and nothing that upstream's does not know.
const DECLARED: &str = "node: status.declaredFeatures";

/// Longer than the kubelets' pauses between two looks at a pod that is coming up or down.
const QUIET: Duration = Duration::from_secs(4);
/// Start of the name of the volume that holds a pod's token.
const TOKEN: &str = "kube-api-access-";

#[test]
fn nodes_and_pods_look_the_same_under_either_kubelet() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("objects")?;
    let base = rig.base(Component::Kubelet);
    let mut shown = BTreeMap::new();
    for origin in [Origin::Upstream, Origin::Ours] {
        rig.swap(Component::Kubelet, origin, Some("n1"))?;
        shown.insert(origin.to_string(), show(&rig, &space, &origin.to_string())?);
    }
    rig.swap(Component::Kubelet, base, Some("n1"))?;
    let (upstream, ours) = (declared(&shown["upstream"]), declared(&shown["ours"]));
    ensure!(
        ours.is_subset(&upstream),
        "ours declares {ours:?}, upstream's {upstream:?}"
    );
    for fields in shown.values_mut() {
        fields.retain(|field, _| !field.starts_with(DECLARED));
    }
    let (upstream, ours) = (&shown["upstream"], &shown["ours"]);
    let mut different = Vec::new();
    for field in upstream.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (theirs, our) = (upstream.get(field), ours.get(field));
        if theirs != our {
            different.push(format!("{field}: upstream {}, ours {}", word(theirs), word(our)));
        }
    }
    ensure!(
        different.is_empty(),
        "{} fields differ:\n{}",
        different.len(),
        different.join("\n")
    );
    Ok(())
}

/// The features that a node declares.
fn declared(fields: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let features = fields.iter().filter(|(field, _)| field.starts_with(DECLARED));
    features.map(|(_, feature)| feature.to_string()).collect()
}

fn word(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// Every field of the node and of pods in several states, by its path.
fn show(rig: &Rig, space: &Namespace, origin: &str) -> Result<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    let pods = pods(origin);
    pods.iter().try_for_each(|(_, pod)| space.apply(pod))?;
    for (kind, _) in pods {
        let name = format!("{kind}-{origin}");
        eventually(
            &format!("{name} has come to rest"),
            Duration::from_secs(60),
            || {
                let status = space.get(&["pod", &name])?["status"].clone();
                let reason = &status["containerStatuses"][0]["state"]["waiting"]["reason"];
                let rest = match kind {
                    "plain" => status["conditions"]
                        .to_string()
                        .contains(r#""status":"True","type":"Ready""#),
                    "finished" => status["phase"] == "Succeeded",
                    "failed" => status["phase"] == "Failed",
                    "no-config" => reason == "CreateContainerConfigError",
                    _ => reason == "ErrImageNeverPull",
                };
                ensure!(rest, "{status}");
                Ok(())
            },
        )?;
        let mut pod = settled(space, &name)?;
        // Upstream reads it from the pod's cgroup, which may or may not be there at that moment.
        pod["status"]["resources"] = Value::Null;
        flatten(&format!("pod {kind}: status"), &pod["status"], &mut fields);
    }
    let node = rig.kubectl().get(&["node", "n1"])?;
    for part in ["spec", "status"] {
        flatten(&format!("node: {part}"), &node[part], &mut fields);
    }
    for part in ["labels", "annotations"] {
        flatten(&format!("node: {part}"), &node["metadata"][part], &mut fields);
    }
    let lease = rig.kubectl().within("kube-node-lease").get(&["lease", "n1"])?;
    flatten(
        "lease: owners",
        &lease["metadata"]["ownerReferences"],
        &mut fields,
    );
    for field in ["holderIdentity", "leaseDurationSeconds"] {
        flatten(&format!("lease: {field}"), &lease["spec"][field], &mut fields);
    }
    Ok(fields)
}

/// The pod, once nobody has written to it for a while.
fn settled(space: &Namespace, name: &str) -> Result<Value> {
    let mut seen = (Value::Null, Instant::now());
    eventually(&format!("{name} is left alone"), Duration::from_secs(60), || {
        let pod = space.get(&["pod", name])?;
        if pod["metadata"]["resourceVersion"] != seen.0["metadata"]["resourceVersion"] {
            seen = (pod, Instant::now());
        }
        ensure!(seen.1.elapsed() > QUIET, "it was written to just now");
        Ok(())
    })?;
    Ok(seen.0)
}

fn pods(origin: &str) -> Vec<(&'static str, Value)> {
    let pod = |kind: &str, container: Value| {
        let mut container = container;
        container["name"] = json!("main");
        container["image"] = container
            .get("image")
            .cloned()
            .unwrap_or_else(|| json!(agnhost()));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": format!("{kind}-{origin}") },
            "spec": {
                "nodeName": "n1", "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container],
            },
        })
    };
    let reference =
        json!([{ "name": "X", "valueFrom": { "configMapKeyRef": { "name": "missing", "key": "x" } } }]);
    vec![
        (
            "plain",
            pod(
                "plain",
                json!({ "args": ["pause"], "resources": { "requests": { "memory": "16Mi" } } }),
            ),
        ),
        (
            "finished",
            pod(
                "finished",
                json!({ "command": ["sh", "-c", "echo well >/dev/termination-log"] }),
            ),
        ),
        (
            "failed",
            pod("failed", json!({ "command": ["sh", "-c", "exit 7"] })),
        ),
        (
            "no-config",
            pod("no-config", json!({ "args": ["pause"], "env": reference })),
        ),
        (
            "no-image",
            pod(
                "no-image",
                json!({ "image": "registry.k8s.io/no-such:1", "imagePullPolicy": "Never" }),
            ),
        ),
    ]
}

/// Items of a list go by their `type`, `name` or `names` where they have one, so that their order does not matter.
fn flatten(path: &str, value: &Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let value = if MOMENT.contains(&name.as_str()) {
                    &json!("(of the moment)")
                } else {
                    value
                };
                flatten(&format!("{path}.{name}"), value, fields);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let named = ["type", "name"].iter().find_map(|field| item[field].as_str());
                let named = named.or_else(|| item["names"].as_array()?.last()?.as_str());
                let named = named.map(|name| if name.starts_with(TOKEN) { TOKEN } else { name });
                let name = named.map_or_else(|| index.to_string(), str::to_owned);
                flatten(&format!("{path}[{name}]"), item, fields);
            }
        }
        Value::Null => {}
        leaf => {
            // Pods' own names, and those that admission makes up.
            let text = leaf
                .as_str()
                .map(|text| text.replace("-upstream", "").replace("-ours", ""));
            let text = text.map(|text| {
                if text.starts_with(TOKEN) {
                    TOKEN.to_owned()
                } else {
                    text
                }
            });
            fields.insert(path.to_owned(), text.map_or_else(|| leaf.clone(), Value::String));
        }
    }
}
