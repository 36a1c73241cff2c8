//! Where the API server is, whom we trust and who we are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::RwLock;

use super::exec::ExecPlugin;
use super::{Metrics, kubeconfig};

/// Bytes given directly, or a file that is read again when it changes.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    Data(Vec<u8>),
    File(PathBuf),
}

impl Source {
    /// The bytes as they are now.
    pub(crate) fn read(&self) -> Result<Vec<u8>, ConfigError> {
        match self {
            Source::Data(data) => Ok(data.clone()),
            Source::File(path) => std::fs::read(path).map_err(|cause| ConfigError::ReadFile {
                path: path.clone(),
                cause,
            }),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Data(data) => write!(f, "{} bytes", data.len()),
            Source::File(path) => path.fmt(f),
        }
    }
}

/// A client certificate and its key, both PEM; the two may be one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: Source,
    pub key: Source,
}

/// What goes into the `Authorization` header.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing: a client certificate, or anonymous.
    #[default]
    None,
    /// A fixed bearer token.
    Token(String),
    /// A bearer token in a file, read again every minute and after a 401.
    TokenFile(PathBuf),
    /// A bearer token that its owner replaces when it has a new one.
    Live(LiveToken),
    /// User name and password.
    Basic { user: String, password: String },
    /// A client-go credential plugin: a token or a client certificate.
    Exec(Box<ExecPlugin>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Token(_) => f.write_str("Token"),
            Credentials::Live(_) => f.write_str("Live"),
            Credentials::TokenFile(path) => write!(f, "TokenFile({})", path.display()),
            Credentials::Basic { user, .. } => write!(f, "Basic({user})"),
            Credentials::Exec(plugin) => write!(f, "Exec({})", plugin.command),
        }
    }
}

/// A bearer token that changes while clients use it. Clones share it.
#[derive(Clone, Default)]
pub struct LiveToken(Arc<RwLock<Arc<str>>>);

impl LiveToken {
    /// Starts with `token`.
    pub fn new(token: &str) -> Self {
        LiveToken(Arc::new(RwLock::new(token.into())))
    }

    /// Every client that has a clone uses `token` from its next request on.
    pub fn set(&self, token: &str) {
        *self.0.write() = token.into();
    }

    pub(super) fn get(&self) -> Arc<str> {
        self.0.read().clone()
    }
}

/// Somebody else, whom we act as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonate {
    pub user: String,
    pub uid: Option<String>,
    pub groups: Vec<String>,
}

/// How to reach the API server: from a kubeconfig, from the pod we run in, or explicit.
#[derive(Clone, Debug)]
pub struct Config {
    /// `https://host:port`, possibly with a path prefix.
    pub server: Uri,
    /// CA bundle (PEM) that signs the server's certificate; the system's roots if `None`.
    pub ca: Option<Source>,
    /// Checked instead of the host of `server`, and sent as SNI.
    pub tls_server_name: Option<String>,
    /// Skip the check of the server's certificate.
    pub insecure: bool,
    pub identity: Option<Identity>,
    pub credentials: Credentials,
    /// Whom we act as, if the server lets us.
    pub impersonate: Option<Impersonate>,
    /// Namespace of the kubeconfig's context or of the pod we run in.
    pub default_namespace: String,
    pub user_agent: String,
    /// `--kube-api-qps` and `--kube-api-burst`: a cap on top of adaptive pacing, if the user set one.
    pub cap: Option<(f32, u32)>,
    /// How long one request may take, watches apart.
    pub timeout: Duration,
    pub metrics: Metrics,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path:?}: {cause}")]
    ReadFile { path: PathBuf, cause: std::io::Error },
    #[error("kubeconfig {origin}: {problem}")]
    Kubeconfig { origin: String, problem: String },
    #[error("not in a cluster: {0}; give a kubeconfig instead")]
    NotInCluster(String),
    #[error("API server address {address:?}: {problem}")]
    Server { address: String, problem: String },
    #[error("{what}: {problem}")]
    Tls { what: String, problem: String },
}

/// Where a pod's service account is mounted.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Config {
    /// The server at `url`, with no credentials.
    pub fn explicit(url: &str) -> Result<Self, ConfigError> {
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("https://{url}")
        };
        let problem = |problem: String| ConfigError::Server {
            address: url.to_owned(),
            problem,
        };
        let server: Uri = with_scheme.parse().map_err(|cause| problem(format!("{cause}")))?;
        match (server.scheme_str(), server.host()) {
            (Some("https" | "http"), Some(host)) if !host.is_empty() => {}
            _ => return Err(problem("expected https://HOST[:PORT]".into())),
        }
        Ok(Config {
            server,
            ca: None,
            tls_server_name: None,
            insecure: false,
            identity: None,
            credentials: Credentials::None,
            impersonate: None,
            default_namespace: "default".into(),
            user_agent: user_agent("steersman"),
            cap: None,
            timeout: Duration::from_secs(60),
            metrics: Metrics::global().clone(),
        })
    }

    /// The current context of the kubeconfig at `path`.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, names no usable context, or asks for something we do not support.
    pub fn from_kubeconfig(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        kubeconfig::load(path.as_ref(), None)
    }

    /// A named context of the kubeconfig at `path`.
    pub fn from_kubeconfig_context(path: impl AsRef<Path>, context: &str) -> Result<Self, ConfigError> {
        kubeconfig::load(path.as_ref(), Some(context))
    }

    /// The service account of the pod we run in.
    ///
    /// # Errors
    /// [`ConfigError::NotInCluster`] if the environment or the mounted files are missing.
    pub fn in_cluster() -> Result<Self, ConfigError> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| ConfigError::NotInCluster(format!("the variable {name} is not set")))
        };
        Self::in_cluster_at(
            &variable("KUBERNETES_SERVICE_HOST")?,
            &variable("KUBERNETES_SERVICE_PORT")?,
            Path::new(SERVICE_ACCOUNT),
        )
    }

    /// As [`in_cluster`](Self::in_cluster), with the service account mounted at `mount`.
    pub fn in_cluster_at(host: &str, port: &str, mount: &Path) -> Result<Self, ConfigError> {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let mut config = Self::explicit(&format!("https://{host}:{port}"))?;
        let token = mount.join("token");
        if let Err(cause) = std::fs::read(&token) {
            return Err(ConfigError::NotInCluster(format!(
                "cannot read {}: {cause}",
                token.display()
            )));
        }
        config.credentials = Credentials::TokenFile(token);
        config.ca = Some(Source::File(mount.join("ca.crt")));
        if let Ok(namespace) = std::fs::read_to_string(mount.join("namespace")) {
            config.default_namespace = namespace.trim().to_owned();
        }
        Ok(config)
    }

    /// The kubeconfig at `path` if one is given, else the service account of the pod we run in.
    pub fn from_kubeconfig_or_cluster(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) if !path.as_os_str().is_empty() => Self::from_kubeconfig(path),
            _ => Self::in_cluster(),
        }
    }

    /// Whether the server is spoken to over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.server.scheme_str() != Some("http")
    }

    /// Sets the user agent to that of a component: its name is also its field manager.
    #[must_use]
    pub fn with_component(mut self, name: &str) -> Self {
        self.user_agent = user_agent(name);
        self
    }

    /// `--kube-api-qps` and `--kube-api-burst`: requests a second and how many may come at once.
    #[must_use]
    pub fn with_cap(mut self, qps: f32, burst: u32) -> Self {
        self.cap = (qps > 0.0).then_some((qps, burst.max(1)));
        self
    }

    /// Counts this client's requests in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// Another bearer token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self.identity = None;
        self
    }
}

/// In upstream's form; the API server takes the part before the slash as the field manager.
fn user_agent(component: &str) -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "{component}/v1.37.1 ({}/{arch}) kubernetes/steersman-{}",
        std::env::consts::OS,
        env!("CARGO_PKG_VERSION")
    )
}
