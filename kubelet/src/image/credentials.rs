//! Registry credentials out of a pod's `imagePullSecrets` and the node's own `config.json`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1 as core;
use machinery::meta::resources::SECRETS;
use serde::Deserialize;
use tracing::debug;

use super::name::registry_and_path;
use crate::context::Node;
use crate::cri::api::AuthConfig;
use crate::pod::spec::PodExt as _;

/// Credentials by where they are good for, the most exact first.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    entries: Vec<(String, AuthConfig)>,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

impl Keyring {
    /// What a pod may pull with.
    pub async fn of_pod(node: &Node, pod: &core::Pod) -> Self {
        let mut ring = Self::default();
        if let Some(api) = &node.api {
            for reference in pod.spec().image_pull_secrets.iter().flatten() {
                match api
                    .get::<core::Secret>(&SECRETS, pod.namespace(), &reference.name)
                    .await
                {
                    Ok(secret) => ring.add_secret(&secret),
                    Err(error) => {
                        debug!(pod = pod.full(), secret = reference.name, %error, "image pull secret")
                    }
                }
            }
        }
        for path in [
            node.paths.root.join("config.json"),
            "/root/.docker/config.json".into(),
        ] {
            if let Ok(text) = std::fs::read(&path) {
                ring.add_config(&text);
            }
        }
        ring.entries.sort_by(|a, b| b.0.cmp(&a.0));
        ring
    }

    fn add_secret(&mut self, secret: &core::Secret) {
        let data = |key: &str| {
            secret
                .data
                .as_ref()
                .and_then(|d| d.get(key))
                .map(|b| b.0.as_slice())
        };
        match secret.type_.as_deref() {
            Some("kubernetes.io/dockerconfigjson") => {
                self.add_config(data(".dockerconfigjson").unwrap_or_default());
            }
            Some("kubernetes.io/dockercfg") => {
                if let Ok(auths) = serde_json::from_slice(data(".dockercfg").unwrap_or_default()) {
                    self.add(auths);
                }
            }
            _ => {}
        }
    }

    fn add_config(&mut self, text: &[u8]) {
        if let Ok(config) = serde_json::from_slice::<DockerConfig>(text) {
            self.add(config.auths);
        }
    }

    fn add(&mut self, auths: BTreeMap<String, Entry>) {
        for (place, entry) in auths {
            let (mut username, mut password) = (entry.username, entry.password);
            if let Ok(decoded) = STANDARD.decode(entry.auth.trim())
                && let Ok(text) = String::from_utf8(decoded)
                && let Some((user, pass)) = text.split_once(':')
            {
                (username, password) = (user.to_owned(), pass.trim_end_matches('\0').to_owned());
            }
            let identity_token = entry.identitytoken;
            self.entries.push((
                canonical(&place),
                AuthConfig {
                    username,
                    password,
                    identity_token,
                    ..Default::default()
                },
            ));
        }
    }

    /// What to try for an image, in this order; nothing at all where nothing fits.
    #[must_use]
    pub fn lookup(&self, image: &str) -> Vec<Option<AuthConfig>> {
        let (host, path) = registry_and_path(image);
        let full = format!("{host}/{path}");
        let found: Vec<_> = self
            .entries
            .iter()
            .filter(|(p, _)| fits(p, &full))
            .map(|(_, a)| Some(a.clone()))
            .collect();
        if found.is_empty() { vec![None] } else { found }
    }
}

/// `https://index.docker.io/v1/` is `docker.io`.
fn canonical(place: &str) -> String {
    let bare = place
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    match bare.strip_prefix("index.docker.io") {
        Some(rest) => format!("docker.io{rest}"),
        None => bare.to_owned(),
    }
}

/// The host part by part (`*` for one part or a piece of it), then a prefix of the path.
fn fits(place: &str, image: &str) -> bool {
    let split = |s: &str| {
        let (host, path) = s.split_once('/').unwrap_or((s, ""));
        (host.to_owned(), path.to_owned())
    };
    let ((host, path), (image_host, image_path)) = (split(place), split(image));
    let (parts, others): (Vec<&str>, Vec<&str>) =
        (host.split('.').collect(), image_host.split('.').collect());
    let hosts = parts.len() == others.len() && parts.iter().zip(&others).all(|(p, o)| glob(p, o));
    let below = image_path.strip_prefix(path.as_str());
    hosts
        && (path.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@'])))
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|i| rest.get(i..).is_some_and(|r| glob(tail, r)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_host_and_path() {
        let mut ring = Keyring::default();
        let auth = STANDARD.encode("u:p:q");
        ring.add_config(
            format!(
                r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},
                "*.example.com/team":{{"username":"t","password":"x"}}}}}}"#
            )
            .as_bytes(),
        );
        let users = |image: &str| -> Vec<String> {
            ring.lookup(image)
                .into_iter()
                .map(|a| a.map_or("-".into(), |a| format!("{}/{}", a.username, a.password)))
                .collect()
        };
        assert_eq!(users("nginx"), ["u/p:q"]);
        assert_eq!(users("r.example.com/team/app:1"), ["t/x"]);
        assert_eq!(users("r.example.com/teamwork:1"), ["-"]);
        assert_eq!(users("a.b.example.com/team/app"), ["-"]);
    }
}
