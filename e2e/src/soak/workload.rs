//! What runs during a soak.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::rig::{Kubectl, Namespace, Rig, Steady, agnhost, agnhost_other, eventually};

/// Deployment and StatefulSet that nobody touches, each with a Service.
const STILL: [(&str, &str); 2] = [("Deployment", "web"), ("StatefulSet", "db")];
/// Deployment that is rolled and scaled all the time.
const MOVING: &str = "moving";
const REPLICAS: usize = 3;

/// The workload, gone with its namespace.
pub struct Workload<'a> {
    space: &'a Namespace,
    clients: Vec<Steady<'a>>,
    jobs: u32,
    rolls: u32,
}

fn template(name: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name } },
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "main",
                "image": image,
                "args": ["netexec", "--http-port=8080"],
                "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 },
            }],
        },
    })
}

fn controller(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, agnhost()),
        },
    })
}

impl<'a> Workload<'a> {
    /// Starts everything, and waits until it is answered.
    pub fn start(space: &'a Namespace, nodes: &[String]) -> Result<Self> {
        for (kind, name) in STILL.into_iter().chain([("Deployment", MOVING)]) {
            let mut wanted = controller(kind, name);
            if kind == "StatefulSet" {
                wanted["spec"]["serviceName"] = json!(name);
            }
            space.apply(&wanted)?;
            space.apply(&json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": { "name": name },
                "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
            }))?;
        }
        for (kind, name) in STILL {
            space.run(&["rollout", "status", &format!("{kind}/{name}"), "--timeout=180s"])?;
        }
        let mut clients = Vec::new();
        for (node, (_, name)) in nodes.iter().cycle().zip(STILL) {
            let url = format!("http://{name}.{}.svc.cluster.local/hostname", space.name());
            clients.push(Steady::named(space, &format!("asks-{name}"), &url, node)?);
        }
        Ok(Self {
            space,
            clients,
            jobs: 0,
            rolls: 0,
        })
    }

    /// Container id and restart count of all that must stay as it is.
    pub fn still(&self, rig: &Rig) -> Result<BTreeMap<String, (String, u64)>> {
        let mut seen = BTreeMap::new();
        let kubectl: &Kubectl = self.space;
        let mut pods = rig.kubectl().within("kube-system").list(&["pods"])?;
        let mine = kubectl.list(&["pods"])?;
        pods.extend(mine.into_iter().filter(|pod| {
            let app = pod["metadata"]["labels"]["app"].as_str();
            let owned = pod["metadata"]["ownerReferences"].is_array();
            !owned || STILL.iter().any(|(_, name)| app == Some(name))
        }));
        for pod in pods {
            for status in pod["status"]["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let id = status["containerID"].as_str().unwrap_or_default();
                seen.insert(
                    name.to_owned(),
                    (id.to_owned(), status["restartCount"].as_u64().unwrap_or(0)),
                );
            }
        }
        Ok(seen)
    }

    /// A Job more, and the moving Deployment rolls on to another image.
    pub fn stir(&mut self) -> Result<()> {
        self.jobs += 1;
        self.space.apply(&json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": format!("job-{}", self.jobs) },
            "spec": {
                "completions": 2,
                "parallelism": 2,
                "template": { "spec": {
                    "restartPolicy": "Never",
                    "containers": [{ "name": "main", "image": agnhost(), "command": ["sh", "-c", "sleep 1"] }],
                } },
            },
        }))?;
        self.rolls += 1;
        let image = if self.rolls.is_multiple_of(2) {
            agnhost()
        } else {
            agnhost_other()
        };
        self.space
            .run(&[
                "set",
                "image",
                &format!("deployment/{MOVING}"),
                &format!("main={image}"),
            ])
            .map(drop)
    }

    /// Answers and failures that the clients have had.
    pub fn requests(&self) -> Result<(u64, Vec<String>)> {
        let (mut answers, mut failures) = (0, Vec::new());
        for client in &self.clients {
            let tally = client.tally()?;
            answers += u64::from(tally.count());
            failures.extend(tally.failures);
        }
        Ok((answers, failures))
    }

    /// What is not as it was asked for, once the cluster has had the time to get there.
    pub fn lost(&self) -> Result<Vec<String>> {
        let mut lost = Vec::new();
        for number in 1..=self.jobs {
            lost.extend(self.in_time(|| self.finished(number)).err());
        }
        for (kind, name) in STILL.into_iter().chain([("Deployment", MOVING)]) {
            lost.extend(self.in_time(|| self.whole(kind, name)).err());
        }
        Ok(lost.iter().map(|error| format!("{error:#}")).collect())
    }

    fn in_time(&self, probe: impl FnMut() -> Result<()>) -> Result<()> {
        eventually("after the soak", Duration::from_secs(90), probe)
    }

    fn finished(&self, number: u32) -> Result<()> {
        let name = format!("job-{number}");
        let status = self.space.get(&["job", &name])?["status"].clone();
        let succeeded = status["succeeded"].as_u64().unwrap_or(0);
        ensure!(
            succeeded == 2 && status["completionTime"].is_string() && status["failed"].is_null(),
            "{name} has not succeeded: {status}"
        );
        Ok(())
    }

    fn whole(&self, kind: &str, name: &str) -> Result<()> {
        let object = self.space.get(&[kind, name])?;
        let ready = object["status"]["readyReplicas"].as_u64();
        ensure!(
            ready == Some(REPLICAS as u64) && object["status"]["updatedReplicas"] == REPLICAS,
            "{kind} {name} has {}",
            object["status"]
        );
        let pods = self.space.list(&["pods", "-l", &format!("app={name}")])?;
        ensure!(pods.len() == REPLICAS, "{kind} {name} has {} pods", pods.len());
        let slices = self.space.list(&[
            "endpointslices",
            "-l",
            &format!("kubernetes.io/service-name={name}"),
        ])?;
        let endpoints: usize = slices
            .iter()
            .map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len))
            .sum();
        ensure!(endpoints == REPLICAS, "Service {name} has {endpoints} endpoints");
        Ok(())
    }

    /// Removes the namespace and all that is in it, and waits for that.
    pub fn end(self, rig: &Rig) -> Result<()> {
        let name = self.space.name();
        rig.kubectl()
            .run(&["delete", "namespace", name, "--wait=false"])
            .with_context(|| format!("deleting {name}"))?;
        eventually("the workload goes", Duration::from_secs(120), || {
            if rig.kubectl().run(&["get", "namespace", name]).is_ok() {
                let left = rig.kubectl().within(name).run(&["get", "pods"])?;
                bail!("the namespace is still there with {left}")
            }
            Ok(())
        })
    }
}
