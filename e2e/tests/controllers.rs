//! One controller manager alone: namespaces go, owners take what they own along, a dead node's pods move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::plan::choice::Component;
use e2e::rig::{Kubectl, Rig, agnhost, eventually, shared};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn config_map(name: &str, owner: Option<&Value>) -> Value {
    let owners: Vec<Value> = owner
        .map(|owner| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": true,
            })
        })
        .into_iter()
        .collect();
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "ownerReferences": owners } })
}

fn exists(kubectl: &Kubectl, what: &[&str]) -> Result<bool> {
    let args: Vec<&str> = ["get", "--ignore-not-found", "-o", "name"]
        .iter()
        .chain(what)
        .copied()
        .collect();
    Ok(!kubectl.run(&args)?.is_empty())
}

#[test]
fn a_namespace_goes_with_all_that_is_in_it() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("whole")?;
    let image = format!("--image={}", agnhost());
    space.run(&[
        "create",
        "deployment",
        "web",
        &image,
        "--replicas=3",
        "--port=8080",
        "--",
        "/agnhost",
        "pause",
    ])?;
    space.run(&["expose", "deployment", "web", "--port=80"])?;
    space.run(&["create", "secret", "generic", "secret", "--from-literal=a=b"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    // What every namespace is given.
    ensure!(
        exists(&space, &["serviceaccount", "default"])?,
        "no default service account"
    );
    ensure!(
        exists(&space, &["configmap", "kube-root-ca.crt"])?,
        "no root certificate"
    );
    space.run(&["delete", "namespace", space.name(), "--timeout=90s"])?;
    let left = rig.kubectl().list(&[
        "pods",
        "-A",
        "--field-selector",
        &format!("metadata.namespace={}", space.name()),
    ])?;
    ensure!(left.is_empty(), "{} pods are left", left.len());
    Ok(())
}

#[test]
fn owners_take_what_they_own_along_or_leave_it_as_asked() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("owners")?;
    for how in ["background", "foreground", "orphan"] {
        let (owner, owned, below) = (
            format!("{how}-owner"),
            format!("{how}-owned"),
            format!("{how}-below"),
        );
        space.apply(&config_map(&owner, None))?;
        space.apply(&config_map(&owned, Some(&space.get(&["configmap", &owner])?)))?;
        space.apply(&config_map(&below, Some(&space.get(&["configmap", &owned])?)))?;
        // The collector learns of them by its watches.
        std::thread::sleep(Duration::from_secs(1));
        space.run(&[
            "delete",
            "configmap",
            &owner,
            &format!("--cascade={how}"),
            "--timeout=60s",
        ])?;
        let there = |name: &str| exists(&space, &["configmap", name]);
        if how == "foreground" {
            ensure!(
                !there(&owned)? && !there(&below)?,
                "the owner went before what it owns"
            );
        } else if how == "background" {
            eventually("what is owned goes too", MINUTE, || {
                if there(&owned)? || there(&below)? {
                    bail!("still there")
                }
                Ok(())
            })?;
        } else {
            eventually("what was owned is released", MINUTE, || {
                let owners = space.get(&["configmap", &owned])?["metadata"]["ownerReferences"].clone();
                if !owners.is_null() {
                    bail!("{owners}")
                }
                Ok(())
            })?;
            ensure!(there(&below)?, "what an orphan owns went");
        }
    }
    // An owner that never was.
    let ghost = json!({ "metadata": { "name": "ghost", "uid": "00000000-0000-0000-0000-000000000001" } });
    space.apply(&config_map("haunted", Some(&ghost)))?;
    eventually("what nobody owns goes", MINUTE, || {
        if exists(&space, &["configmap", "haunted"])? {
            bail!("still there")
        }
        Ok(())
    })
}

#[test]
fn a_dead_node_s_pods_are_evicted_and_it_may_come_back() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("dead")?;
    let toleration = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2 });
    space.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": [toleration("node.kubernetes.io/unreachable"), toleration("node.kubernetes.io/not-ready")],
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": { "app": "web" } },
                    }],
                    "containers": [{ "name": "web", "image": agnhost(), "args": ["netexec", "--http-port=8080"] }],
                },
            },
        },
    }))?;
    space.run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    let on = |node: &str| -> Result<Vec<Value>> {
        space.list(&[
            "pods",
            "-l",
            "app=web",
            "--field-selector",
            &format!("spec.nodeName={node}"),
        ])
    };
    ensure!(!on("n2")?.is_empty(), "no pod is on n2");

    let since = Instant::now();
    rig.stop(Component::Kubelet, "n2")?;
    let outcome = moves_away(&rig, &space, &on);
    rig.start(Component::Kubelet, "n2")?;
    outcome?;
    eprintln!(
        "the pods of n2 were replaced {:.0?} after its kubelet ended",
        since.elapsed()
    );

    eventually("n2 is Ready and untainted again", MINUTE, || {
        let node = rig.kubectl().get(&["node", "n2"])?;
        ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]["taints"]);
        Ok(())
    })?;
    eventually("the evicted pods are gone", MINUTE, || {
        let left = on("n2")?
            .iter()
            .filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
            .count();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
}

fn moves_away(rig: &Rig, space: &Kubectl, on: &impl Fn(&str) -> Result<Vec<Value>>) -> Result<()> {
    eventually("n2 is known to be dead", MINUTE + MINUTE, || {
        let node = rig.kubectl().get(&["node", "n2"])?;
        let taints = node["spec"]["taints"].to_string();
        ensure!(
            taints.contains("node.kubernetes.io/unreachable") && taints.contains("NoExecute"),
            "{taints}"
        );
        let conditions = node["status"]["conditions"].as_array().context("no conditions")?;
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .context("no Ready")?;
        ensure!(
            ready["status"] == "Unknown" && ready["reason"] == "NodeStatusUnknown",
            "{ready}"
        );
        Ok(())
    })?;
    eventually("its pods are evicted and replaced", MINUTE, || {
        let staying = on("n2")?
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .count();
        let ready = space.get(&["deployment", "web"])?["status"]["readyReplicas"].clone();
        let here = on("n1")?.len();
        ensure!(
            staying == 0 && here == 4 && ready == 4,
            "{staying} stay, {here} on n1, {ready} ready"
        );
        Ok(())
    })?;
    eventually("the Service leaves the dead node out", MINUTE, || {
        let slices = space.list(&["endpointslices", "-l", "kubernetes.io/service-name=web"])?;
        let endpoints = slices
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
        let dead = endpoints
            .filter(|endpoint| endpoint["nodeName"] == "n2" && endpoint["conditions"]["ready"] == true)
            .count();
        ensure!(dead == 0, "{dead} endpoints on n2 are ready");
        Ok(())
    })
}
