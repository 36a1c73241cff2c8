//! Services have Endpoints.

use crate::{Running, create, namespace, server, until};
use controllers::config::Config;
use machinery::client::{Client, DeleteOptions, PatchKind};
use machinery::meta::resources::{ENDPOINTS, PODS, SERVICES};
use machinery::testing::{ApiServer, Process, skip};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

async fn says(client: &Client, namespace: &str, pod: &str, ip: &str, ready: &str) {
    let conditions = json!([{ "type": "Ready", "status": ready }]);
    let patch = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": conditions } });
    client
        .patch_status::<IgnoredAny, _>(&PODS, namespace, pod, PatchKind::Strategic, &patch)
        .await
        .unwrap();
}

fn ips(endpoints: &Value, field: &str) -> Vec<String> {
    let subsets = endpoints["subsets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let addresses = subsets
        .iter()
        .flat_map(|subset| subset[field].as_array().map(Vec::as_slice).unwrap_or_default());
    addresses
        .map(|address| address["ip"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_pods_and_services() {
    let server = server!();
    let running = Running::new(server, Config::default());
    let client = &running.client;
    namespace(client, "ep").await;
    // Left over from a Service that was deleted while nobody looked.
    create(
        client,
        &ENDPOINTS,
        "ep",
        json!({ "metadata": { "name": "left" } }),
    )
    .await;
    running
        .start(
            "endpoints-controller",
            "endpoint-controller",
            controllers::endpoints::sync::run,
        )
        .await;
    until(client, &ENDPOINTS, "ep", "left", "it is gone", Value::is_null).await;

    let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    create(
        client,
        &SERVICES,
        "ep",
        json!({ "metadata": { "name": "web", "labels": { "tier": "front" } }, "spec": spec }),
    )
    .await;
    for (name, ip, ready) in [("a", "10.1.0.1", "True"), ("b", "10.1.0.2", "False")] {
        let spec = json!({ "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] });
        create(
            client,
            &PODS,
            "ep",
            json!({ "metadata": { "name": name, "labels": { "app": "web" } }, "spec": spec }),
        )
        .await;
        says(client, "ep", name, ip, ready).await;
    }
    let both = until(client, &ENDPOINTS, "ep", "web", "both pods are listed", |e| {
        ips(e, "notReadyAddresses") == ["10.1.0.2"] && ips(e, "addresses") == ["10.1.0.1"]
    })
    .await;
    assert_eq!(
        both["metadata"]["labels"],
        json!({ "tier": "front", "endpoints.kubernetes.io/managed-by": "endpoint-controller" })
    );
    assert_eq!(
        both["subsets"][0]["ports"],
        json!([{ "port": 8080, "protocol": "TCP" }])
    );
    assert_eq!(both["subsets"][0]["addresses"][0]["targetRef"]["name"], "a");

    says(client, "ep", "b", "10.1.0.2", "True").await;
    until(client, &ENDPOINTS, "ep", "web", "both are ready", |e| {
        ips(e, "addresses") == ["10.1.0.1", "10.1.0.2"]
    })
    .await;
    client
        .delete(&ENDPOINTS, "ep", "web", &DeleteOptions::default())
        .await
        .unwrap();
    until(client, &ENDPOINTS, "ep", "web", "it is made again", |e| {
        ips(e, "addresses").len() == 2
    })
    .await;
    client
        .delete(&PODS, "ep", "a", &DeleteOptions::default())
        .await
        .unwrap();
    until(client, &ENDPOINTS, "ep", "web", "one is left", |e| {
        ips(e, "addresses") == ["10.1.0.2"]
    })
    .await;
    client
        .delete(&SERVICES, "ep", "web", &DeleteOptions::default())
        .await
        .unwrap();
    until(
        client,
        &ENDPOINTS,
        "ep",
        "web",
        "it goes with its Service",
        Value::is_null,
    )
    .await;
}

/// Upstream's manager with just this controller; `None` where there is no such program.
fn upstream(server: &ApiServer, controller: &str) -> Option<Process> {
    let program = match server.assets().program("kube-controller-manager") {
        Ok(program) => program,
        Err(why) => {
            skip(&why);
            return None;
        }
    };
    let kubeconfig = server.kubeconfig().unwrap();
    let args = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--controllers={controller}"),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
    ];
    Some(Process::start(&program, &args, server.folder()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_pass_to_and_from_upstreams_without_a_write() {
    let server = server!();
    let Some(mut theirs) = upstream(server, "endpoints-controller") else {
        return;
    };
    let client = server.client();
    namespace(&client, "swap").await;
    let ports = json!([{ "name": "web", "port": 80, "targetPort": "http" }, { "name": "x", "port": 81, "targetPort": 9000, "appProtocol": "h2c" },
                       { "name": "dns", "port": 53, "protocol": "UDP" }]);
    let spec = json!({ "selector": { "app": "web" }, "ports": ports });
    create(
        &client,
        &SERVICES,
        "swap",
        json!({ "metadata": { "name": "web", "labels": { "a": "b" } }, "spec": spec }),
    )
    .await;
    let spec = json!({ "clusterIP": "None", "selector": { "app": "web" } });
    create(
        &client,
        &SERVICES,
        "swap",
        json!({ "metadata": { "name": "headless" }, "spec": spec }),
    )
    .await;
    for n in 1..=6 {
        let port = json!({ "name": "http", "containerPort": 8000 + n % 3 });
        let spec = json!({ "nodeName": "n1", "hostname": "h", "subdomain": "headless", "containers": [{ "name": "c", "image": "i", "ports": [port] }] });
        create(
            &client,
            &PODS,
            "swap",
            json!({ "metadata": { "name": format!("p{n}"), "labels": { "app": "web" } }, "spec": spec }),
        )
        .await;
        says(
            &client,
            "swap",
            &format!("p{n}"),
            &format!("10.2.0.{n}"),
            if n % 2 == 0 { "True" } else { "False" },
        )
        .await;
    }
    let listed = |ready: usize, not: usize| {
        move |e: &Value| {
            let distinct = |field: &str| {
                ips(e, field)
                    .into_iter()
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
            };
            distinct("addresses") == ready && distinct("notReadyAddresses") == not
        }
    };
    let version = |endpoints: &Value| endpoints["metadata"]["resourceVersion"].clone();
    let settled = async |ready: usize, not: usize| {
        let web = until(
            &client,
            &ENDPOINTS,
            "swap",
            "web",
            "all are listed",
            listed(ready, not),
        )
        .await;
        let headless = until(
            &client,
            &ENDPOINTS,
            "swap",
            "headless",
            "all are listed",
            listed(ready, not),
        )
        .await;
        [version(&web), version(&headless)]
    };
    let written = settled(3, 3).await;
    theirs.kill();

    // Something of ours shows when the first look is over.
    let probe = async |name: &str| {
        let spec = json!({ "selector": { "app": "none" }, "ports": [{ "port": 1 }] });
        create(
            &client,
            &SERVICES,
            "swap",
            json!({ "metadata": { "name": name }, "spec": spec }),
        )
        .await;
        until(&client, &ENDPOINTS, "swap", name, "it has Endpoints", |e| {
            !e.is_null()
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    let running = Running::new(server, Config::default());
    running
        .start(
            "endpoints-controller",
            "endpoint-controller",
            controllers::endpoints::sync::run,
        )
        .await;
    probe("ours").await;
    assert_eq!(settled(3, 3).await, written, "taken over as they were");
    says(&client, "swap", "p1", "10.2.0.1", "True").await;
    let written = settled(4, 2).await;
    drop(running);

    let mut theirs = upstream(server, "endpoints-controller").unwrap();
    probe("theirs").await;
    assert_eq!(settled(4, 2).await, written, "and handed back as we wrote them");
    theirs.kill();
}
