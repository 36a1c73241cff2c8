//! An API server of canned lists, on TLS and HTTP/2 as the real one: it streams what it is told to have, and no more.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use machinery::component::serving::{Certificates, ClientAuthorities, Server};
use machinery::testing::Authority;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Bytes that the real one gathers before it sends them.
const CHUNK: usize = 4096;
const LAST_VERSION: usize = 1_000_000;

/// Starts to serve so many Services, each with two endpoints, and returns the kubeconfig for it.
pub fn serve(folder: &Path, services: usize) -> PathBuf {
    let authority = Authority::new("canned").unwrap();
    let pair = authority.server().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificates = Certificates::Files {
        certificate: file("serving.crt", &pair.certificate),
        key: file("serving.key", &pair.key),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::tls(address, &certificates, &ClientAuthorities::None).unwrap();
    let url = format!("https://{}", server.address().unwrap());
    let router = Router::new().fallback(move |uri: Uri| async move { answer(&uri, services) });
    tokio::spawn(server.serve(router, CancellationToken::new()));
    let ca = file("ca.crt", authority.certificate());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": "c", "user": {"token": "canned"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    file("kubeconfig", &kubeconfig.to_string())
}

fn answer(uri: &Uri, services: usize) -> Response {
    let object: fn(usize) -> Value = match uri.path() {
        "/api/v1/services" => service,
        "/apis/discovery.k8s.io/v1/endpointslices" => slice,
        "/api/v1/nodes" => return watch(1, node).into_response(),
        "/apis/networking.k8s.io/v1/servicecidrs" => return watch(0, node).into_response(),
        _ => return (StatusCode::CREATED, "{}").into_response(),
    };
    watch(services, object).into_response()
}

/// A list as the first events of a watch that then has nothing more to tell.
fn watch(count: usize, object: fn(usize) -> Value) -> Body {
    let events = (0..count).map(move |n| json!({"type": "ADDED", "object": object(n)}));
    let end = json!({"type": "BOOKMARK", "object": {"metadata": {
        "resourceVersion": LAST_VERSION.to_string(), "annotations": {"k8s.io/initial-events-end": "true"},
    }}});
    let lines = events.chain([end]).map(|event| format!("{event}\n"));
    Body::from_stream(chunks(lines).chain(stream::pending()))
}

fn chunks(lines: impl Iterator<Item = String>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut lines = lines.fuse();
    stream::iter(std::iter::from_fn(move || {
        let mut chunk = String::new();
        while chunk.len() < CHUNK {
            let Some(line) = lines.next() else { break };
            chunk.push_str(&line);
        }
        (!chunk.is_empty()).then(|| Ok(Bytes::from(chunk)))
    }))
}

fn metadata(kind: &str, n: usize) -> Value {
    json!({
        "name": format!("service-{n}"), "namespace": format!("ns-{}", n % 50),
        "uid": format!("00000000-0000-4000-{kind}-{n:012}"), "resourceVersion": (1000 + n).to_string(),
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"app.kubernetes.io/name": format!("app-{n}"), "app.kubernetes.io/managed-by": "Helm"},
        "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:internalTrafficPolicy": {},
            "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {},
            "f:targetPort": {}}}, "f:selector": {}, "f:sessionAffinity": {}, "f:type": {}}}}],
    })
}

fn service(n: usize) -> Value {
    let ip = Ipv4Addr::from(0x0a60_0001 + n as u32);
    json!({
        "kind": "Service", "apiVersion": "v1", "metadata": metadata("8000", n),
        "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
            "selector": {"app.kubernetes.io/name": format!("app-{n}")}, "clusterIP": ip, "clusterIPs": [ip],
            "type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster"},
        "status": {"loadBalancer": {}},
    })
}

fn slice(n: usize) -> Value {
    let mut metadata = metadata("9000", n);
    let name = format!("service-{n}");
    metadata["name"] = json!(format!("{name}-{:05x}", n * 7919 % 0xf_ffff));
    metadata["generateName"] = json!(format!("{name}-"));
    metadata["labels"]["kubernetes.io/service-name"] = json!(name);
    metadata["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("endpointslice-controller.k8s.io");
    metadata["annotations"] =
        json!({"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"});
    metadata["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Service", "name": name,
        "uid": format!("00000000-0000-4000-8000-{n:012}"), "controller": true, "blockOwnerDeletion": true}]);
    let endpoint = |which: usize| {
        let ip = Ipv4Addr::from(0x0af4_0a01 + 2 * n as u32 + which as u32);
        json!({"addresses": [ip], "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", (n + which) % 100), "zone": format!("zone-{}", which),
            "targetRef": {"kind": "Pod", "namespace": format!("ns-{}", n % 50), "name": format!("app-{n}-{which}"),
                "uid": format!("00000000-0000-4000-a000-{n:011}{which}")}})
    };
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata, "addressType": "IPv4",
        "endpoints": [endpoint(0), endpoint(1)], "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
    })
}

fn node(_: usize) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "canned", "resourceVersion": "1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "198.18.0.11"}]}})
}
