//! Tokens of service accounts, and roles.

use crate::bench::Bench;
use machinery::client::DeleteOptions;
use machinery::meta::resources::{CERTIFICATE_SIGNING_REQUESTS, CLUSTER_ROLES, SECRETS, SERVICE_ACCOUNTS};
use serde_json::{Value, json};

const NAMESPACE: &str = "accounts";

pub async fn tokens_are_put_into_secrets(bench: &Bench) {
    use base64::Engine as _;
    bench.namespace(NAMESPACE).await;
    let account = json!({ "metadata": { "name": "robot" } });
    bench
        .client
        .create::<Value, _>(&SERVICE_ACCOUNTS, NAMESPACE, &account)
        .await
        .unwrap();
    let secret = json!({ "metadata": { "name": "robot-token", "annotations": { "kubernetes.io/service-account.name": "robot" } },
        "type": "kubernetes.io/service-account-token" });
    bench
        .client
        .create::<Value, _>(&SECRETS, NAMESPACE, &secret)
        .await
        .unwrap();
    bench
        .see("the token", async |bench| {
            let secret = bench.get(&SECRETS, NAMESPACE, "robot-token").await;
            secret.is_some_and(|secret| secret["data"]["token"].is_string())
        })
        .await;
    let secret = bench.get(&SECRETS, NAMESPACE, "robot-token").await.unwrap();
    let decoded = |key: &str| {
        let text = secret["data"][key].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(decoded("namespace"), NAMESPACE);
    assert_eq!(decoded("ca.crt"), bench.server.authority().certificate());
    let review = bench.client.review_token(&decoded("token"), &[]).await.unwrap();
    assert!(
        review.authenticated && review.user.username == "system:serviceaccount:accounts:robot",
        "{review:?}"
    );
    bench
        .client
        .delete(&SERVICE_ACCOUNTS, NAMESPACE, "robot", &DeleteOptions::default())
        .await
        .unwrap();
    bench
        .see("the token goes with its account", async |bench| {
            bench.get(&SECRETS, NAMESPACE, "robot-token").await.is_none()
        })
        .await;
}

pub async fn roles_are_made_up_of_others(bench: &Bench) {
    bench
        .see("what users may do by default", async |bench| {
            let view = bench.get(&CLUSTER_ROLES, "", "view").await;
            view.is_some_and(|view| view["rules"].as_array().is_some_and(|rules| !rules.is_empty()))
        })
        .await;
    let role = json!({ "metadata": { "name": "crontab-viewer", "labels": { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
        "rules": [{ "apiGroups": ["example.com"], "resources": ["crontabs"], "verbs": ["get"] }] });
    bench
        .client
        .create::<Value, _>(&CLUSTER_ROLES, "", &role)
        .await
        .unwrap();
    bench
        .see("the new rule is part of it", async |bench| {
            let view = bench.get(&CLUSTER_ROLES, "", "view").await;
            view.is_some_and(|view| {
                view["rules"]
                    .as_array()
                    .is_some_and(|rules| rules.contains(&role["rules"][0]))
            })
        })
        .await;
}

pub async fn kubelets_requests_are_approved(bench: &Bench) {
    use base64::Engine as _;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "system:node:n1");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    let pem = params
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap()
        .pem()
        .unwrap();
    let body = json!({ "metadata": { "name": "n1" }, "spec": { "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"], "request": base64::engine::general_purpose::STANDARD.encode(pem) } });
    bench
        .client
        .create::<Value, _>(&CERTIFICATE_SIGNING_REQUESTS, "", &body)
        .await
        .unwrap();
    bench
        .see("the approval", async |bench| {
            let request = bench.get(&CERTIFICATE_SIGNING_REQUESTS, "", "n1").await;
            request.is_some_and(|request| {
                let condition = &request["status"]["conditions"][0];
                condition["type"] == "Approved" && condition["reason"] == "AutoApproved"
            })
        })
        .await;
}
