//! Each component is swapped to the other side and back under an application that is in use: nothing may notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use e2e::plan::choice::Component;
use e2e::rig::{Namespace, Rig, Steady, agnhost, shared};
use serde_json::Value;

#[test]
fn a_swap_and_back_restarts_no_container_and_fails_no_request() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let space = rig.namespace("swap")?;
    let image = format!("--image={}", agnhost());
    let serve = ["--", "/agnhost", "netexec", "--http-port=8080"];
    space.run(
        &[
            &[
                "create",
                "deployment",
                "web",
                &image,
                "--replicas=4",
                "--port=8080",
            ][..],
            &serve,
        ]
        .concat(),
    )?;
    space.run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    let client = Steady::start(
        &space,
        &format!("http://web.{}.svc.cluster.local/hostname", space.name()),
        "n1",
    )?;

    let before = Seen::now(&rig, &space)?;
    let mut failures = Vec::new();
    for component in Component::ALL {
        let base = rig.base(component);
        for origin in [base.other(), base] {
            let said = client.tally()?.failures.len();
            rig.swap(component, origin, None)?;
            client.hears(40)?;
            let tally = client.tally()?;
            failures.extend(
                tally
                    .failures
                    .iter()
                    .skip(said)
                    .map(|why| format!("{component} to {origin}: {why}")),
            );
            let after = Seen::now(&rig, &space)?;
            ensure!(
                after == before,
                "{component} to {origin} changed {before:#?} to {after:#?}"
            );
        }
    }
    ensure!(failures.is_empty(), "requests failed: {failures:#?}");
    ensure!(
        client.tally()?.answers.len() == 4,
        "not every pod answered: {:?}",
        client.tally()?.answers
    );
    works_still(&rig, &space)
}

/// After all swaps, changes still go through.
fn works_still(rig: &Rig, space: &Namespace) -> Result<()> {
    space.run(&["scale", "deployment", "web", "--replicas=6"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    let sets = space.list(&["replicasets"])?.len();
    ensure!(sets == 1, "{sets} ReplicaSets");
    for node in rig.node_names() {
        ensure!(
            rig.program(Component::Kubelet, &node)?.pid.is_some(),
            "no kubelet on {node}"
        );
    }
    Ok(())
}

/// What must not change in a swap, in the test's namespace and in the system's.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Container id and restart count, by pod and container.
    containers: BTreeMap<String, (String, u64)>,
    replica_sets: Vec<String>,
}

impl Seen {
    fn now(rig: &Rig, space: &Namespace) -> Result<Self> {
        let mut seen = Self {
            containers: BTreeMap::new(),
            replica_sets: Vec::new(),
        };
        for kubectl in [
            rig.kubectl().within(space.name()),
            rig.kubectl().within("kube-system"),
        ] {
            for pod in kubectl.list(&["pods"])? {
                seen.note(&pod)
                    .with_context(|| format!("reading {}", pod["metadata"]["name"]))?;
            }
            let sets = kubectl.list(&["replicasets"])?;
            seen.replica_sets
                .extend(sets.iter().map(|set| set["metadata"]["name"].to_string()));
        }
        seen.replica_sets.sort();
        Ok(seen)
    }

    fn note(&mut self, pod: &Value) -> Result<()> {
        for status in pod["status"]["containerStatuses"]
            .as_array()
            .context("no container statuses")?
        {
            let id = status["containerID"].as_str().context("no container id")?;
            let restarts = status["restartCount"].as_u64().context("no restart count")?;
            let name = format!("{} {}", pod["metadata"]["name"], status["name"]);
            self.containers.insert(name, (id.to_owned(), restarts));
        }
        Ok(())
    }
}
