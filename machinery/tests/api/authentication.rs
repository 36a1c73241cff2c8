//! Each way to say who we are, against the real server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use http::Method;
use machinery::client::{ApiError, Client, Config, Credentials, Identity, Source, TokenRequest};
use machinery::meta::resources::SERVICE_ACCOUNTS;
use machinery::testing::{ApiServer, Pair, User};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::{namespace, server};

/// Whom the API server takes us for.
async fn who(client: &Client) -> Result<String, ApiError> {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer: Value = client.raw(Method::POST, path, "application/json", body).await?;
    Ok(answer["status"]["userInfo"]["username"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

fn write_pair(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("client.crt"), &pair.certificate).unwrap();
    std::fs::write(folder.join("client.key"), &pair.key).unwrap();
}

/// A kubeconfig in `folder` for `user`, a YAML flow mapping.
fn kubeconfig(server: &ApiServer, folder: &Path, user: &str) -> Config {
    let path = folder.join("kubeconfig");
    std::fs::copy(server.ca_file(), folder.join("ca.crt")).unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: k, cluster: {{server: '{}', certificate-authority: ca.crt}}}}]\n\
         users: [{{name: u, user: {user}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n",
        server.url()
    );
    std::fs::write(&path, text).unwrap();
    Config::from_kubeconfig(&path).unwrap()
}

#[tokio::test]
async fn by_client_certificate_from_data() {
    let server = server!();
    let pair = server.authority().client("carol", &["testers"]).unwrap();
    let client = Client::new(server.config_of(&pair)).unwrap();
    assert_eq!(who(&client).await.unwrap(), "carol");
}

#[tokio::test]
async fn by_client_certificate_in_files_that_are_rotated() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), &server.authority().client("before", &[]).unwrap());
    let config = kubeconfig(
        server,
        folder.path(),
        "{client-certificate: client.crt, client-key: client.key}",
    );
    let file = |name: &str| Source::File(folder.path().join(name));
    assert_eq!(
        config.identity,
        Some(Identity {
            certificate: file("client.crt"),
            key: file("client.key")
        })
    );
    let client = Client::new(config).unwrap();
    assert_eq!(who(&client).await.unwrap(), "before");

    write_pair(folder.path(), &server.authority().client("after", &[]).unwrap());
    client.credentials_changed();
    assert_eq!(who(&client).await.unwrap(), "after");

    // A half-written file does not take the credentials away.
    std::fs::write(folder.path().join("client.crt"), "-----BEGIN CERT").unwrap();
    client.credentials_changed();
    assert_eq!(who(&client).await.unwrap(), "after");
}

#[tokio::test]
async fn by_token_file_that_is_rotated() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "admin-token\n").unwrap();
    let client = Client::new(kubeconfig(server, folder.path(), "{tokenFile: token}")).unwrap();
    assert_eq!(who(&client).await.unwrap(), "admin");

    // A token that the server no longer takes is read again at once, without waiting for the minute to pass.
    let path = folder.path().join("other");
    std::fs::write(&path, "revoked").unwrap();
    let mut config = server.anonymous();
    config.credentials = Credentials::TokenFile(path.clone());
    let client = Client::new(config).unwrap();
    assert!(who(&client).await.unwrap_err().is_unauthorized());
    std::fs::write(&path, "nobody-token").unwrap();
    assert_eq!(who(&client).await.unwrap(), "nobody");
    // A file that went missing leaves the last token in use.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(who(&client).await.unwrap(), "nobody");
}

fn plugin(folder: &Path, script: &str) {
    let path = folder.join("plugin");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Prints an ExecCredential with this status, given as a shell word in double quotes.
fn prints(status: &str) -> String {
    let status = status.replace('"', "\\\"");
    format!(
        "echo run >> \"$RUNS\"\necho \"{{\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1\\\",\\\"kind\\\":\\\"ExecCredential\\\",\\\"status\\\":{status}}}\""
    )
}

fn exec_user(folder: &Path) -> String {
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: ./plugin, provideClusterInfo: true, \
         interactiveMode: Never, env: [{{name: RUNS, value: '{}'}}, {{name: WHO, value: admin}}]}}}}",
        folder.join("runs").display()
    )
}

fn runs(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("runs")).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn by_an_exec_plugin_that_prints_a_token() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The plugin learns what cluster it is for, and gets its environment and arguments.
    let check = format!(
        "case \"$KUBERNETES_EXEC_INFO\" in *'{}'*) ;; *) exit 3;; esac\n",
        server.url()
    );
    plugin(folder, &(check + &prints(r#"{"token":"$WHO-token"}"#)));
    let client = Client::new(kubeconfig(server, folder, &exec_user(folder))).unwrap();
    assert_eq!(who(&client).await.unwrap(), "admin");
    assert_eq!(who(&client).await.unwrap(), "admin");
    assert_eq!(runs(folder), 1, "a token without an end is kept");
}

#[tokio::test]
async fn by_an_exec_plugin_that_is_run_again_when_its_token_ends_or_is_refused() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    plugin(
        folder,
        &prints(r#"{"token":"admin-token","expirationTimestamp":"2020-01-01T00:00:00Z"}"#),
    );
    let client = Client::new(kubeconfig(server, folder, &exec_user(folder))).unwrap();
    assert_eq!(who(&client).await.unwrap(), "admin");
    assert_eq!(who(&client).await.unwrap(), "admin");
    assert_eq!(runs(folder), 2);

    plugin(folder, &prints(r#"{"token":"refused"}"#));
    assert!(who(&client).await.unwrap_err().is_unauthorized());
    plugin(folder, &prints(r#"{"token":"nobody-token"}"#));
    assert_eq!(who(&client).await.unwrap(), "nobody");
}

#[tokio::test]
async fn by_an_exec_plugin_that_prints_a_certificate() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pair = server.authority().client("dora", &[]).unwrap();
    let status = json!({"clientCertificateData": pair.certificate, "clientKeyData": pair.key});
    let credential =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status});
    std::fs::write(folder.join("credential"), credential.to_string()).unwrap();
    plugin(folder, "cat \"$(dirname \"$0\")/credential\"");
    let client = Client::new(kubeconfig(server, folder, &exec_user(folder))).unwrap();
    assert_eq!(who(&client).await.unwrap(), "dora");
}

#[tokio::test]
async fn an_exec_plugin_that_fails_is_named() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    plugin(folder, "echo no session >&2; exit 1");
    let client = Client::new(kubeconfig(server, folder, &exec_user(folder))).unwrap();
    let error = who(&client).await.unwrap_err().to_string();
    assert!(
        error.contains("plugin") && error.contains("no session"),
        "{error}"
    );
}

#[tokio::test]
async fn by_the_service_account_of_our_pod() {
    let server = server!();
    let admin = namespace(server, "in-cluster").await;
    let account = json!({"metadata": {"name": "robot"}});
    admin
        .create::<IgnoredAny, _>(&SERVICE_ACCOUNTS, "in-cluster", &account)
        .await
        .unwrap();
    let token = admin
        .create_token("in-cluster", "robot", &TokenRequest::default())
        .await
        .unwrap();
    let mount = tempfile::tempdir().unwrap();
    std::fs::write(mount.path().join("token"), token.token).unwrap();
    std::fs::write(mount.path().join("namespace"), "in-cluster").unwrap();
    std::fs::copy(server.ca_file(), mount.path().join("ca.crt")).unwrap();
    let address: http::Uri = server.url().parse().unwrap();
    let (host, port) = (address.host().unwrap(), address.port_u16().unwrap().to_string());
    let config = Config::in_cluster_at(host, &port, mount.path()).unwrap();
    assert_eq!(config.default_namespace, "in-cluster");
    let client = Client::new(config).unwrap();
    assert_eq!(
        who(&client).await.unwrap(),
        "system:serviceaccount:in-cluster:robot"
    );
}

#[tokio::test]
async fn as_somebody_else_if_we_may() {
    let server = server!();
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(
        server,
        folder.path(),
        "{token: admin-token, as: eve, as-groups: [g1, g2]}",
    );
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let client = Client::new(config).unwrap();
    let answer: Value = client
        .raw(Method::POST, path, "application/json", body)
        .await
        .unwrap();
    assert_eq!(answer["status"]["userInfo"]["username"], "eve");
    assert_eq!(
        answer["status"]["userInfo"]["groups"],
        json!(["g1", "g2", "system:authenticated"])
    );
}

#[tokio::test]
async fn a_server_that_we_do_not_trust_is_not_spoken_to() {
    let server = server!();
    let mut config = server.config(User::Admin);
    let stranger = machinery::testing::Authority::new("stranger").unwrap();
    config.ca = Some(Source::Data(stranger.certificate().as_bytes().to_vec()));
    config.timeout = Duration::from_secs(20);
    let error = who(&Client::new(config.clone()).unwrap()).await.unwrap_err();
    assert!(
        error.is_unreachable() && error.to_string().contains("certificate"),
        "{error}"
    );
    config.insecure = true;
    assert_eq!(who(&Client::new(config).unwrap()).await.unwrap(), "admin");
}
