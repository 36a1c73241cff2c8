//! A user's first hour with stock kubectl: deploy, expose, look, change, undo, delete.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::rig::{Kubectl, Namespace, agnhost, agnhost_other, eventually, shared};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// Ends a kubectl that runs on.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_user_deploys_reaches_changes_and_deletes_an_application() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let web = rig.namespace("walk")?;

    deploy(&web)?;
    reach_through_the_service(&web)?;
    reach_through_node_ports(&rig, &web)?;
    read_logs(&web)?;
    run_commands(&web)?;
    forward_a_port(&web)?;
    describe(&web)?;
    scale(&web)?;
    update_and_undo(&web)?;
    delete(&web)
}

fn deploy(web: &Namespace) -> Result<()> {
    let image = format!("--image={}", agnhost());
    web.run(&[
        "create",
        "deployment",
        "web",
        &image,
        "--replicas=4",
        "--port=8080",
        "--",
        "/agnhost",
        "netexec",
        "--http-port=8080",
    ])?;
    web.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    web.run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"])?;
    let pods = pods_of_web(web)?;
    ensure!(pods.len() == 4, "{} pods", pods.len());
    let nodes: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .collect();
    ensure!(nodes.len() == 2, "all pods are on {nodes:?}");
    for pod in &pods {
        let addresses = pod["status"]["podIPs"].as_array().map(Vec::len);
        ensure!(
            addresses == Some(2),
            "{} has {addresses:?} addresses",
            pod["metadata"]["name"]
        );
    }
    Ok(())
}

fn pods_of_web(web: &Kubectl) -> Result<Vec<Value>> {
    let mut pods = web.list(&["pods", "-l", "app=web"])?;
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(pods)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// From a pod, by the Service's DNS name.
fn reach_through_the_service(web: &Namespace) -> Result<()> {
    let all: BTreeSet<String> = pods_of_web(web)?.iter().map(|pod| name(pod).to_owned()).collect();
    web.run(&[
        "run",
        "client",
        "--image",
        agnhost(),
        "--restart=Never",
        "--",
        "pause",
    ])?;
    web.run(&["wait", "--for=condition=Ready", "pod/client", "--timeout=60s"])?;
    let url = format!("http://web.{}.svc.cluster.local/hostname", web.name());
    let script = format!("for i in $(seq 60); do curl -sS -m 5 {url}; echo; done");
    let heard = web.run(&["exec", "client", "--", "bash", "-c", &script])?;
    let heard: BTreeSet<String> = heard.split_whitespace().map(str::to_owned).collect();
    ensure!(
        heard == all,
        "the Service answered as {heard:?}, the pods are {all:?}"
    );
    // The same over IPv6 and over UDP.
    web.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web-six" },
        "spec": { "ipFamilies": ["IPv6"], "selector": { "app": "web" }, "ports": [
            { "name": "http", "port": 80, "targetPort": 8080 },
            { "name": "udp", "protocol": "UDP", "port": 81, "targetPort": 8081 },
        ] },
    }))?;
    let script = format!(
        "curl -6 -sS -m 5 http://web-six.{0}/hostname && echo && echo hostname | nc -6 -u -w 2 web-six.{0} 81",
        web.name()
    );
    eventually("IPv6 and UDP answer", MINUTE, || {
        let heard = web.run(&["exec", "client", "--", "bash", "-c", &script])?;
        let heard: Vec<&str> = heard.split_whitespace().collect();
        ensure!(
            heard.len() == 2 && heard.iter().all(|pod| all.contains(*pod)),
            "heard {heard:?}"
        );
        Ok(())
    })
}

fn reach_through_node_ports(rig: &e2e::rig::Rig, web: &Namespace) -> Result<()> {
    web.run(&[
        "expose",
        "deployment",
        "web",
        "--name=web-out",
        "--type=NodePort",
        "--port=80",
        "--target-port=8080",
    ])?;
    let service = web.get(&["service", "web-out"])?;
    let port = service["spec"]["ports"][0]["nodePort"]
        .as_u64()
        .context("no node port")?;
    for node in rig.node_names() {
        let url = format!("http://{node}:{port}/hostname");
        eventually(&format!("{url} answers from outside"), MINUTE, || {
            let output = rig.exec("cp", &["curl", "-sS", "-m", "5", &url])?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            ensure!(
                output.stdout.starts_with(b"web-"),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// `logs -f` shows what is written after it started.
fn read_logs(web: &Namespace) -> Result<()> {
    web.run(&[
        "run",
        "talker",
        "--image",
        agnhost(),
        "--restart=Never",
        "--command",
        "--",
        "bash",
        "-c",
        TALK,
    ])?;
    web.run(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=60s"])?;
    let mut follow = Running(
        web.command(&["logs", "-f", "talker"])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(follow.0.stdout.take().context("no output")?).lines();
    for expected in ["line 1", "line 2", "line 3", "done"] {
        let line = lines.next().context("the log ended early")??;
        ensure!(line == expected, "{line:?} instead of {expected:?}");
        if line == "line 2" {
            web.run(&["exec", "talker", "--", "touch", "/tmp/go"])?;
        }
    }
    ensure!(
        lines.next().is_none(),
        "the log goes on after the container ended"
    );
    ensure!(follow.0.wait()?.success(), "logs -f failed");
    let tail = web.run(&["logs", "talker", "--tail=1", "--timestamps"])?;
    ensure!(tail.trim_end().ends_with("Z done"), "{tail:?}");
    Ok(())
}

const TALK: &str =
    "echo line 1; echo line 2; until [ -e /tmp/go ]; do sleep 0.2; done; echo line 3; echo done";

fn run_commands(web: &Namespace) -> Result<()> {
    let pods = pods_of_web(web)?;
    let pod = name(pods.first().context("no pods")?);
    let said = web.run_with(
        &["exec", "-i", pod, "--", "tr", "a-z", "A-Z"],
        "through standard input\n",
    )?;
    ensure!(said == "THROUGH STANDARD INPUT\n", "{said:?}");
    let refused = web
        .run(&["exec", pod, "--", "bash", "-c", "echo out; exit 3"])
        .unwrap_err()
        .to_string();
    ensure!(refused.contains("exit code 3"), "{refused}");

    let mut shell = web.in_terminal(&["exec", "-it", pod, "--", "bash"]);
    let mut shell = Running(shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut keyboard = shell.0.stdin.take().context("no input")?;
    keyboard.write_all(b"test -t 0 && test -t 1 && echo a-real-$((6 * 7))-terminal\nexit\n")?;
    let mut screen = String::new();
    shell
        .0
        .stdout
        .take()
        .context("no output")?
        .read_to_string(&mut screen)?;
    ensure!(screen.contains("a-real-42-terminal"), "{screen:?}");
    Ok(())
}

fn forward_a_port(web: &Namespace) -> Result<()> {
    let mut forward = web.command(&["port-forward", "service/web", ":80"]);
    let mut forward = Running(forward.stdout(Stdio::piped()).spawn()?);
    // Held until the end: kubectl writes a line a connection, and dies of a closed pipe.
    let mut output = BufReader::new(forward.0.stdout.take().context("no output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let port: u16 = line
        .strip_prefix("Forwarding from 127.0.0.1:")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("no port in {line:?}"))?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let (mut answer, mut piece) = (String::new(), [0; 1024]);
        while !answer.contains("\r\n\r\nweb-") {
            let length = stream.read(&mut piece)?;
            ensure!(length > 0, "the connection ended after {answer:?}");
            answer += &String::from_utf8_lossy(&piece[..length]);
        }
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
    drop(output);
    Ok(())
}

fn describe(web: &Namespace) -> Result<()> {
    let pods = pods_of_web(web)?;
    let pod = name(pods.first().context("no pods")?);
    let text = web.run(&["describe", "pod", pod])?;
    let expected = [
        "Status:           Running",
        "Controlled By:  ReplicaSet/web-",
        "Container ID:  containerd://",
        "Ready:          True",
        "Restart Count:  0",
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "PodScheduled                True",
        "QoS Class:                   BestEffort",
        "Scheduled",
        "Pulled",
        "Created",
        "Started",
        "default-scheduler",
        "kubelet",
    ];
    for expected in expected {
        ensure!(
            text.contains(expected),
            "describe pod does not say {expected:?}:\n{text}"
        );
    }
    let text = web.run(&["describe", "deployment", "web"])?;
    for expected in [
        "4 desired | 4 updated | 4 total | 4 available",
        "MinimumReplicasAvailable",
        "NewReplicaSetAvailable",
        "ScalingReplicaSet",
    ] {
        ensure!(
            text.contains(expected),
            "describe deployment does not say {expected:?}:\n{text}"
        );
    }
    let text = web.run(&["describe", "node", "n1"])?;
    for expected in [
        "KubeletReady",
        "PodCIDRs:",
        "Kubelet Version:",
        "v1.37",
        "containerd://",
        "Allocated resources:",
    ] {
        ensure!(
            text.contains(expected),
            "describe node does not say {expected:?}:\n{text}"
        );
    }
    Ok(())
}

fn scale(web: &Namespace) -> Result<()> {
    for replicas in [6, 2, 4] {
        web.run(&["scale", "deployment", "web", &format!("--replicas={replicas}")])?;
        eventually(&format!("the Deployment has {replicas} pods"), MINUTE, || {
            let pods = web.list(&["pods", "-l", "app=web"])?.len();
            let ready = web.get(&["deployment", "web"])?["status"]["readyReplicas"].clone();
            ensure!(
                pods == replicas && ready == json!(replicas),
                "{pods} pods, {ready} ready"
            );
            Ok(())
        })?;
        let slices = web.list(&["endpointslices", "-l", "kubernetes.io/service-name=web"])?;
        eventually("the endpoints follow", MINUTE, || {
            let endpoints = web.list(&["endpointslices", "-l", "kubernetes.io/service-name=web"])?;
            let ready = endpoints
                .iter()
                .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
            let ready = ready
                .filter(|endpoint| endpoint["conditions"]["ready"] == json!(true))
                .count();
            ensure!(
                ready == replicas * slices.len(),
                "{ready} endpoints in {} slices",
                slices.len()
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn update_and_undo(web: &Namespace) -> Result<()> {
    let images = |web: &Namespace| -> Result<BTreeSet<String>> {
        let images = pods_of_web(web)?
            .into_iter()
            .filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned));
        Ok(images.collect())
    };
    web.run(&[
        "set",
        "image",
        "deployment/web",
        &format!("agnhost={}", agnhost_other()),
    ])?;
    web.run(&["rollout", "status", "deployment/web", "--timeout=120s"])?;
    ensure!(
        images(web)? == BTreeSet::from([agnhost_other().to_owned()]),
        "{:?}",
        images(web)?
    );
    web.run(&["rollout", "undo", "deployment/web"])?;
    web.run(&["rollout", "status", "deployment/web", "--timeout=120s"])?;
    ensure!(
        images(web)? == BTreeSet::from([agnhost().to_owned()]),
        "{:?}",
        images(web)?
    );
    let sets = web.list(&["replicasets", "-l", "app=web"])?;
    ensure!(sets.len() == 2, "{} ReplicaSets", sets.len());
    let history = web.run(&["rollout", "history", "deployment/web"])?;
    ensure!(
        history.contains("\n2 ") && history.contains("\n3 ") && !history.contains("\n1 "),
        "{history}"
    );
    Ok(())
}

fn delete(web: &Namespace) -> Result<()> {
    web.run(&[
        "delete",
        "deployment/web",
        "service/web",
        "service/web-out",
        "--timeout=60s",
    ])?;
    eventually("nothing of the application is left", MINUTE, || {
        let left = web.run(&[
            "get",
            "pods,replicasets,endpointslices,endpoints",
            "-l",
            "app=web",
            "-o",
            "name",
        ])?;
        if !left.is_empty() {
            bail!("{left}");
        }
        Ok(())
    })
}
