//! From a kubeconfig file to a [`Config`].
//!
//! Follows client-go's `clientcmd`: paths are relative to the file's folder, data wins over a path,
//! a token file wins over an inline token.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::exec::{ClusterInfo, ExecPlugin};
use super::{Config, ConfigError, Credentials, Identity, Impersonate, Source};

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: Option<String>,
    contexts: Option<Vec<Named<Context>>>,
    clusters: Option<Vec<Named<Cluster>>>,
    users: Option<Vec<Named<User>>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    held: Option<T>,
}

#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    cluster: String,
    user: Option<String>,
    namespace: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
    extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: serde_json::Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    as_uid: Option<String>,
    as_groups: Option<Vec<String>>,
    as_user_extra: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
    exec: Option<Exec>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Exec {
    api_version: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    install_hint: Option<String>,
    provide_cluster_info: bool,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

/// The cluster extension whose content is handed to an exec plugin.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// Reads the kubeconfig at `path` and picks `context`, or its current one.
pub(super) fn load(path: &Path, context: Option<&str>) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::ReadFile {
        path: path.to_owned(),
        cause,
    })?;
    Loader {
        origin: path.display().to_string(),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
    }
    .load(&text, context)
}

struct Loader {
    origin: String,
    folder: PathBuf,
}

impl Loader {
    fn problem(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::Kubeconfig {
            origin: self.origin.clone(),
            problem: problem.into(),
        }
    }

    fn load(&self, text: &str, context: Option<&str>) -> Result<Config, ConfigError> {
        let file: File = serde_saphyr::from_str(text).map_err(|cause| self.problem(cause.to_string()))?;
        let name = context
            .or(file.current_context.as_deref())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| self.problem("it sets no current-context"))?;
        let context: &Context =
            find(&file.contexts, name).ok_or_else(|| self.problem(format!("it has no context {name:?}")))?;
        let lacks = |what: &str, of: &str| {
            self.problem(format!(
                "context {name:?} names the {what} {of:?}, which it does not have"
            ))
        };
        let cluster: &Cluster =
            find(&file.clusters, &context.cluster).ok_or_else(|| lacks("cluster", &context.cluster))?;
        let nobody = User::default();
        let user: &User = match context.user.as_deref().filter(|user| !user.is_empty()) {
            Some(user) => find(&file.users, user).ok_or_else(|| lacks("user", user))?,
            None => &nobody,
        };
        let mut config = self.resolve(cluster, user)?;
        if let Some(namespace) = context.namespace.as_ref().filter(|name| !name.is_empty()) {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    fn resolve(&self, cluster: &Cluster, user: &User) -> Result<Config, ConfigError> {
        let server = cluster
            .server
            .as_deref()
            .ok_or_else(|| self.problem("the cluster has no server"))?;
        if cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()) {
            return Err(self.problem("proxy-url is not supported: give an address that is reached directly"));
        }
        let mut config = Config::explicit(server)?;
        config.ca = self.source(
            "certificate-authority",
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
        )?;
        config.insecure = cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
        let certificate = self.source(
            "client-certificate",
            &user.client_certificate_data,
            &user.client_certificate,
        )?;
        let key = self.source("client-key", &user.client_key_data, &user.client_key)?;
        config.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.problem("the user has a client-certificate but no client-key"));
            }
            (None, Some(_)) => {
                return Err(self.problem("the user has a client-key but no client-certificate"));
            }
        };
        config.impersonate = self.impersonate(user)?;
        config.credentials = self.credentials(cluster, user, config.ca.as_ref())?;
        Ok(config)
    }

    fn impersonate(&self, user: &User) -> Result<Option<Impersonate>, ConfigError> {
        if user.as_user_extra.is_some() {
            return Err(self.problem("as-user-extra is not supported"));
        }
        let uid = user.as_uid.clone().filter(|uid| !uid.is_empty());
        let groups = user.as_groups.clone().unwrap_or_default();
        match user.impersonate.clone().filter(|name| !name.is_empty()) {
            Some(user) => Ok(Some(Impersonate { user, uid, groups })),
            None if uid.is_none() && groups.is_empty() => Ok(None),
            None => Err(self.problem("as-uid and as-groups need as")),
        }
    }

    fn credentials(
        &self,
        cluster: &Cluster,
        user: &User,
        ca: Option<&Source>,
    ) -> Result<Credentials, ConfigError> {
        if let Some(path) = user.token_file.as_ref().filter(|path| !path.is_empty()) {
            return Ok(Credentials::TokenFile(self.folder.join(path)));
        }
        if let Some(token) = user.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Credentials::Token(token.clone()));
        }
        if let (Some(user), Some(password)) = (&user.username, &user.password) {
            return Ok(Credentials::Basic {
                user: user.clone(),
                password: password.clone(),
            });
        }
        if user.auth_provider.is_some() {
            return Err(self.problem("auth-provider is not supported: use an exec plugin"));
        }
        let Some(exec) = &user.exec else {
            return Ok(Credentials::None);
        };
        let command = exec
            .command
            .as_ref()
            .filter(|command| !command.is_empty())
            .ok_or_else(|| self.problem("the exec plugin has no command"))?;
        // A bare name is looked up in PATH; anything with a slash is relative to the kubeconfig.
        let command = if command.contains('/') {
            self.folder.join(command)
        } else {
            command.into()
        };
        let cluster = exec
            .provide_cluster_info
            .then(|| -> Result<ClusterInfo, ConfigError> {
                Ok(ClusterInfo {
                    server: cluster.server.clone().unwrap_or_default(),
                    tls_server_name: cluster.tls_server_name.clone(),
                    insecure_skip_tls_verify: cluster.insecure_skip_tls_verify,
                    certificate_authority_data: ca
                        .map(|ca| ca.read().map(|pem| BASE64.encode(pem)))
                        .transpose()?,
                    config: cluster
                        .extensions
                        .iter()
                        .flatten()
                        .find(|held| held.name == EXEC_EXTENSION)
                        .map(|held| held.extension.clone()),
                })
            });
        Ok(Credentials::Exec(Box::new(ExecPlugin {
            api_version: exec
                .api_version
                .clone()
                .unwrap_or_else(|| "client.authentication.k8s.io/v1".into()),
            command: command.display().to_string(),
            args: exec.args.clone().unwrap_or_default(),
            env: exec
                .env
                .iter()
                .flatten()
                .map(|held| (held.name.clone(), held.value.clone()))
                .collect(),
            install_hint: exec.install_hint.clone(),
            cluster: cluster.transpose()?,
        })))
    }

    fn source(
        &self,
        what: &str,
        data: &Option<String>,
        path: &Option<String>,
    ) -> Result<Option<Source>, ConfigError> {
        if let Some(data) = data.as_ref().filter(|data| !data.is_empty()) {
            let bytes = BASE64
                .decode(data.trim())
                .map_err(|cause| self.problem(format!("{what}-data is not base64: {cause}")))?;
            return Ok(Some(Source::Data(bytes)));
        }
        Ok(path
            .as_ref()
            .filter(|path| !path.is_empty())
            .map(|path| Source::File(self.folder.join(path))))
    }
}

fn find<'a, T>(all: &'a Option<Vec<Named<T>>>, name: &str) -> Option<&'a T> {
    all.iter()
        .flatten()
        .find(|held| held.name == name)
        .and_then(|held| held.held.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        Loader {
            origin: "k".into(),
            folder: "/etc/kubernetes".into(),
        }
        .load(text, None)
    }

    fn with_user(user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: k, user: u, namespace: n}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:6443', certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        )
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = load(&with_user(
            "{client-certificate: /abs/c.pem, client-key: pki/k.pem}",
        ))
        .unwrap();
        assert_eq!(config.ca, Some(Source::File("/etc/kubernetes/ca.crt".into())));
        let identity = config.identity.unwrap();
        assert_eq!(identity.certificate, Source::File("/abs/c.pem".into()));
        assert_eq!(identity.key, Source::File("/etc/kubernetes/pki/k.pem".into()));
        assert_eq!(config.default_namespace, "n");
    }

    #[test]
    fn credentials_follow_client_go_order() {
        let credentials =
            |user: &str| load(&with_user(user)).map(|config| format!("{:?}", config.credentials));
        assert_eq!(
            credentials("{token: t, tokenFile: f}").unwrap(),
            "TokenFile(/etc/kubernetes/f)"
        );
        assert_eq!(credentials("{token: t}").unwrap(), "Token");
        assert_eq!(credentials("{username: a, password: b}").unwrap(), "Basic(a)");
        assert_eq!(credentials("{exec: {command: aws}}").unwrap(), "Exec(aws)");
        assert_eq!(
            credentials("{exec: {command: ./p}}").unwrap(),
            "Exec(/etc/kubernetes/./p)"
        );
        assert_eq!(credentials("{}").unwrap(), "None");
    }

    #[test]
    fn a_problem_names_the_file_and_what_is_wrong() {
        for (text, expected) in [
            (String::from("contexts: []"), "no current-context"),
            (String::from("current-context: x"), "no context \"x\""),
            (with_user("{client-certificate: c}"), "no client-key"),
            (
                with_user("{client-key-data: '%%', client-certificate: c}"),
                "client-key-data is not base64",
            ),
            (
                with_user("{}").replace("user: u,", "user: v,"),
                "the user \"v\", which it does not have",
            ),
            (
                with_user("{auth-provider: {name: gcp}}"),
                "auth-provider is not supported",
            ),
        ] {
            let problem = load(&text).unwrap_err().to_string();
            assert!(
                problem.starts_with("kubeconfig k: ") && problem.contains(expected),
                "{problem}"
            );
        }
    }
}
