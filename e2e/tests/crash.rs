//! SIGKILL for each program in the middle of a rollout: it comes back, and the rollout ends as if nothing had happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::plan::choice::Component;
use e2e::rig::{Namespace, Rig, agnhost, agnhost_other, eventually, shared};
use serde_json::Value;

const REPLICAS: usize = 6;

#[test]
fn a_rollout_survives_the_death_of_any_program() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("crash")?;
    let (image, replicas) = (format!("--image={}", agnhost()), format!("--replicas={REPLICAS}"));
    let serve = ["--", "/agnhost", "netexec", "--http-port=8080"];
    space.run(
        &[
            &["create", "deployment", "web", &image, &replicas, "--port=8080"][..],
            &serve,
        ]
        .concat(),
    )?;
    space.run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"])?;
    space.run(&["run", "stays", "--image", agnhost(), "--", "pause"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=180s"])?;
    space.run(&["wait", "--for=condition=Ready", "pod/stays", "--timeout=60s"])?;

    let mut images = [agnhost_other(), agnhost()].into_iter().cycle();
    for component in Component::ALL {
        let image = images.next().unwrap_or_default();
        space.run(&["set", "image", "deployment/web", &format!("agnhost={image}")])?;
        std::thread::sleep(Duration::from_millis(700));
        for machine in rig.machines(component) {
            let before = rig.program(component, &machine)?;
            rig.kill(component, &machine)?;
            eventually(
                &format!("{} is back", before.instance),
                Duration::from_secs(20),
                || {
                    let now = rig.program(component, &machine)?;
                    ensure!(now.pid.is_some() && now.starts > before.starts, "{now:?}");
                    Ok(())
                },
            )?;
        }
        space.run(&["rollout", "status", "deployment/web", "--timeout=180s"])?;
        ended_well(&space, image)
            .map_err(|error| error.context(format!("after the death of {component}")))?;
        serves(&rig, &space)?;
    }
    Ok(())
}

fn ended_well(space: &Namespace, image: &str) -> Result<()> {
    eventually(
        "the rollout has left nothing behind",
        Duration::from_secs(60),
        || {
            let pods = space.list(&["pods", "-l", "app=web"])?;
            ensure!(pods.len() == REPLICAS, "{} pods", pods.len());
            for pod in &pods {
                let status = &pod["status"]["containerStatuses"][0];
                ensure!(
                    pod["spec"]["containers"][0]["image"] == image,
                    "{} is of the old image",
                    pod["metadata"]["name"]
                );
                // containerd gives up a start whose caller dies; the one after it is the container's first.
                let interrupted = u64::from(status["lastState"]["terminated"]["reason"] == "StartError");
                ensure!(
                    status["ready"] == true && status["restartCount"] == interrupted,
                    "{status}"
                );
            }
            Ok(())
        },
    )?;
    let sets: Vec<Value> = space.list(&["replicasets"])?;
    ensure!(sets.len() == 2, "{} ReplicaSets", sets.len());
    let stays = space.get(&["pod", "stays"])?;
    ensure!(
        stays["status"]["containerStatuses"][0]["restartCount"] == 0,
        "{}",
        stays["status"]
    );
    Ok(())
}

/// Every new pod is reached through the Service, from either node.
fn serves(rig: &Rig, space: &Namespace) -> Result<()> {
    let address = space.get(&["service", "web"])?["spec"]["clusterIP"].clone();
    let url = format!("http://{}/hostname", address.as_str().unwrap_or_default());
    for node in rig.node_names() {
        eventually(
            &format!("the Service answers on {node}"),
            Duration::from_secs(30),
            || {
                for _ in 0..10 {
                    let output = rig.exec(&node, &["curl", "-sS", "-m", "2", &url])?;
                    ensure!(
                        output.status.success(),
                        "{}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}
