//! Bad input gets a clear error and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::plan::address::{CONTROL_PLANE, control_plane};
use e2e::plan::choice::{Component, Origin};
use e2e::plan::program;
use e2e::rig::{Rig, agnhost, eventually, shared};
use serde_json::{Value, json};

/// Seconds that a program is given before it is killed, where it is to keep trying.
const PATIENCE: &str = "8";

/// How a run of one of our programs ended.
struct Ran {
    /// It was still running when its time was up.
    alive: bool,
    said: String,
}

/// Runs our `component` on the control plane's machine, where nothing that it may do harms a node, with some of its
/// usual flags replaced or added.
fn run(rig: &Rig, component: Component, changes: &[(&str, &str)]) -> Result<Ran> {
    let machine = if component.on_nodes() { "n1" } else { CONTROL_PLANE };
    let mut argv = program::component(rig.site(), component, Origin::Ours, machine).argv;
    // A kubelet insists on an address that its machine has; the others' ports are taken there.
    let address = control_plane().v4.to_string();
    let fitting = match component {
        Component::Kubelet => Some(("--node-ip", address.as_str())),
        Component::Scheduler | Component::Controllers => Some(("--secure-port", "20259")),
        Component::Proxy => None,
    };
    for (flag, value) in changes.iter().copied().chain(fitting) {
        argv.retain(|given| !given.starts_with(&format!("{flag}=")));
        argv.push(format!("{flag}={value}"));
    }
    let line: Vec<&str> = ["timeout", "-s", "KILL", PATIENCE]
        .into_iter()
        .chain(argv.iter().map(String::as_str))
        .collect();
    let output = rig.exec(CONTROL_PLANE, &line)?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    // `timeout` ends itself by the same signal.
    Ok(Ran {
        alive: output.status.code().is_none_or(|code| code == 137),
        said,
    })
}

fn refused(what: &str, ran: &Ran, words: &[&str]) -> Result<()> {
    ensure!(!ran.alive, "{what}: it runs on:\n{}", ran.said);
    for word in words {
        ensure!(
            ran.said.contains(word),
            "{what}: the error does not say {word:?}:\n{}",
            ran.said
        );
    }
    let lines = ran.said.lines().count();
    ensure!(
        lines <= 12 && !ran.said.contains("panicked"),
        "{what}: not a clear error but {lines} lines:\n{}",
        ran.said
    );
    Ok(())
}

#[test]
fn an_unknown_flag_is_named_with_its_nearest_neighbour() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    for component in Component::ALL {
        let flag = if component == Component::Proxy {
            "--hostname-overide"
        } else {
            "--kubeconfg"
        };
        let nearest = if component == Component::Proxy {
            "--hostname-override"
        } else {
            "--kubeconfig"
        };
        refused(
            &format!("{component} {flag}"),
            &run(&rig, component, &[(flag, "x")])?,
            &[flag, nearest],
        )?;
    }
    Ok(())
}

#[test]
fn an_unknown_configuration_field_is_named() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let folder = tempfile::tempdir_in(rig.site().folder.root())?;
    for component in [Component::Kubelet, Component::Proxy, Component::Scheduler] {
        let usual = match component {
            Component::Scheduler => json!({
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": { "kubeconfig": rig.site().folder.component_kubeconfig("kube-scheduler") },
            }),
            _ => serde_json::from_slice(&fs::read(
                rig.site()
                    .folder
                    .config(&format!("{}-n1.yaml", component.program())),
            )?)?,
        };
        let mut config: Value = usual;
        config["noSuchField"] = json!(1);
        let file = folder.path().join(format!("{component}.yaml"));
        fs::write(&file, config.to_string())?;
        let file = file.display().to_string();
        refused(
            &format!("{component}'s field"),
            &run(&rig, component, &[("--config", &file)])?,
            &["noSuchField"],
        )?;
    }
    Ok(())
}

#[test]
fn a_wrong_kubeconfig_is_named() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let folder = tempfile::tempdir_in(rig.site().folder.root())?;
    let broken = folder.path().join("broken");
    fs::write(
        &broken,
        "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n",
    )?;
    let broken = broken.display().to_string();
    for component in Component::ALL {
        for (kubeconfig, words) in [
            ("/no/such/file", vec!["/no/such/file"]),
            (broken.as_str(), vec!["nowhere"]),
        ] {
            let ran = with_kubeconfig(&rig, component, kubeconfig, folder.path())?;
            refused(&format!("{component} with {kubeconfig}"), &ran, &words)?;
        }
    }
    Ok(())
}

/// kube-proxy takes its kubeconfig from its configuration file.
fn with_kubeconfig(
    rig: &Rig,
    component: Component,
    kubeconfig: &str,
    folder: &std::path::Path,
) -> Result<Ran> {
    if component != Component::Proxy {
        return run(rig, component, &[("--kubeconfig", kubeconfig)]);
    }
    let mut config: Value =
        serde_json::from_slice(&fs::read(rig.site().folder.config("kube-proxy-n1.yaml"))?)?;
    config["clientConnection"]["kubeconfig"] = json!(kubeconfig);
    let file = folder.join("kube-proxy.yaml");
    fs::write(&file, config.to_string())?;
    run(rig, component, &[("--config", &file.display().to_string())])
}

#[test]
fn an_unreachable_api_server_is_said_once_and_tried_again() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let folder = tempfile::tempdir_in(rig.site().folder.root())?;
    for component in Component::ALL {
        let user = match component {
            Component::Kubelet => "kubelet-n1",
            other => other.program(),
        };
        let text = fs::read_to_string(rig.site().folder.component_kubeconfig(user))?;
        let file = folder.path().join(user);
        fs::write(
            &file,
            text.replace("https://198.18.0.1:6443", "https://198.18.0.1:9"),
        )?;
        let ran = with_kubeconfig(&rig, component, &file.display().to_string(), folder.path())?;
        ensure!(ran.alive, "{component} gave up:\n{}", ran.said);
        let said = ran
            .said
            .lines()
            .filter(|line| line.contains("198.18.0.1:9"))
            .count();
        ensure!(
            (1..=2).contains(&said),
            "{component} said {said} times that the API server is unreachable:\n{}",
            ran.said
        );
    }
    Ok(())
}

#[test]
fn a_missing_containerd_socket_is_named() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let folder = tempfile::tempdir_in(rig.site().folder.root())?;
    let mut config: Value = serde_json::from_slice(&fs::read(rig.site().folder.config("kubelet-n1.yaml"))?)?;
    config["containerRuntimeEndpoint"] = json!("unix:///run/nowhere.sock");
    let file = folder.path().join("kubelet.yaml");
    fs::write(&file, config.to_string())?;
    let nodes = rig.kubectl().list(&["nodes"])?.len();
    // Another name than the certificate's: were it to register, it could not.
    let ran = run(
        &rig,
        Component::Kubelet,
        &[
            ("--config", &file.display().to_string()),
            ("--hostname-override", "ghost"),
        ],
    )?;
    ensure!(
        ran.said.contains("/run/nowhere.sock"),
        "the error does not name the socket:\n{}",
        ran.said
    );
    ensure!(
        rig.kubectl().list(&["nodes"])?.len() == nodes,
        "a node was registered"
    );
    Ok(())
}

#[test]
fn a_pod_waits_for_a_missing_config_map_and_starts_when_it_appears() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("missing")?;
    let pod = |name: &str, container: Value, volumes: Value| {
        let mut container = container;
        container["name"] = json!("main");
        container["image"] = json!(agnhost());
        container["args"] = json!(["pause"]);
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1 },
        })
    };
    let environment = json!({ "envFrom": [{ "configMapRef": { "name": "late" } }] });
    space.apply(&pod("by-env", environment, json!([])))?;
    let mount = json!({ "volumeMounts": [{ "name": "late", "mountPath": "/late" }] });
    space.apply(&pod(
        "by-volume",
        mount,
        json!([{ "name": "late", "configMap": { "name": "late" } }]),
    ))?;
    for (name, reason) in [("by-env", "Failed"), ("by-volume", "FailedMount")] {
        let of = format!("involvedObject.name={name},reason={reason}");
        eventually(
            &format!("{name} has an event {reason}"),
            Duration::from_secs(60),
            || {
                let events = space.list(&["events", "--field-selector", &of])?;
                let event = events.first().context("no event")?;
                let message = event["message"].as_str().unwrap_or_default();
                ensure!(message.contains("configmap \"late\" not found"), "{message}");
                Ok(())
            },
        )?;
    }
    let waiting =
        space.get(&["pod", "by-env"])?["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            .clone();
    ensure!(
        waiting == "CreateContainerConfigError",
        "by-env waits for {waiting}"
    );
    space.run(&["create", "configmap", "late", "--from-literal=KEY=value"])?;
    space.run(&[
        "wait",
        "--for=condition=Ready",
        "pod/by-env",
        "pod/by-volume",
        "--timeout=150s",
    ])?;
    ensure!(space.run(&["exec", "by-env", "--", "printenv", "KEY"])? == "value\n");
    ensure!(space.run(&["exec", "by-volume", "--", "cat", "/late/KEY"])? == "value");
    Ok(())
}
