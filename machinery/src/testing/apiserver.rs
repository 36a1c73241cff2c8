//! Upstream's kube-apiserver and etcd on loopback, for one test or for all tests of a binary.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::{Assets, Authority, Pair, Process, free_port, skip};
use crate::client::{Client, Config, Identity, Source};

/// Who may log in by token: `NAME-token` stands for `NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// In `system:masters`.
    Admin,
    /// May do nothing but look at the API's paths.
    Nobody,
}

impl User {
    fn token(self) -> &'static str {
        match self {
            User::Admin => "admin-token",
            User::Nobody => "nobody-token",
        }
    }
}

const TOKENS: &str = "admin-token,admin,admin,\"system:masters\"\nnobody-token,nobody,nobody,\"nobodies\"\n";
const PATIENCE: Duration = Duration::from_secs(90);

/// A kube-apiserver and its etcd; both end when this is dropped, or when the process ends.
pub struct ApiServer {
    url: String,
    folder: PathBuf,
    authority: Authority,
    assets: Assets,
    apiserver: Process,
    etcd: Process,
}

static SHARED: OnceCell<Result<ApiServer, Missing>> = OnceCell::const_new();

/// Why there is no server.
enum Missing {
    Programs(String),
    Start(String),
}

impl ApiServer {
    /// The one that all tests of this binary share; `None` where upstream's programs are missing and that is no failure.
    ///
    /// Tests that share it keep to namespaces and names of their own.
    ///
    /// # Panics
    /// If it does not start; and in CI, if upstream's programs are missing.
    #[allow(clippy::panic)] // for tests, where that is how to fail
    pub async fn shared() -> Option<&'static ApiServer> {
        let start = || async {
            let assets = Assets::find().map_err(Missing::Programs)?;
            ApiServer::start(&assets).await.map_err(Missing::Start)
        };
        match SHARED.get_or_init(start).await {
            Ok(server) => Some(server),
            Err(Missing::Programs(why)) => {
                skip(why);
                None
            }
            Err(Missing::Start(why)) => panic!("{why}"),
        }
    }

    /// Starts one, and waits until it is ready: a few seconds.
    ///
    /// # Errors
    /// If it does not get ready: the text has the last lines of its log.
    pub async fn start(assets: &Assets) -> Result<Self, String> {
        Self::start_with(assets, &[]).await
    }

    /// As [`start`](Self::start), with more flags.
    pub async fn start_with(assets: &Assets, flags: &[&str]) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("steersman-apiserver-{:016x}", rand::random::<u64>()));
        let io = |what: &str| {
            let what = what.to_owned();
            move |cause: std::io::Error| format!("{what}: {cause}")
        };
        std::fs::create_dir_all(&folder).map_err(io("making a folder for the API server"))?;
        let authority =
            Authority::new("steersman-test").map_err(|cause| format!("making an authority: {cause}"))?;
        let serving = authority
            .server()
            .map_err(|cause| format!("making a certificate: {cause}"))?;
        let accounts = authority
            .client("accounts", &[])
            .map_err(|cause| format!("making a key: {cause}"))?;
        for (name, text) in [
            ("ca.crt", authority.certificate()),
            ("serving.crt", &serving.certificate),
            ("serving.key", &serving.key),
            ("accounts.crt", &accounts.certificate),
            ("accounts.key", &accounts.key),
            ("tokens.csv", TOKENS),
        ] {
            std::fs::write(folder.join(name), text).map_err(io(name))?;
        }
        let port = || free_port().map_err(io("looking for a free port"));
        let (etcd_port, peer_port, port) = (port()?, port()?, port()?);
        let etcd = etcd(assets, &folder, etcd_port, peer_port)?;
        let apiserver = apiserver(assets, &folder, etcd_port, port, flags)?;
        let server = ApiServer {
            url: format!("https://127.0.0.1:{port}"),
            folder,
            authority,
            assets: assets.clone(),
            apiserver,
            etcd,
        };
        server.wait().await?;
        Ok(server)
    }

    async fn wait(&self) -> Result<(), String> {
        let client = Client::new(self.config(User::Admin)).map_err(|cause| cause.to_string())?;
        let started = Instant::now();
        loop {
            let ready = client.raw_get("/readyz").await;
            match ready {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > PATIENCE || !self.apiserver.is_alive() => {
                    return Err(format!(
                        "the API server was not ready after {:.0?}: {error}\n{}\n{}",
                        started.elapsed(),
                        self.apiserver.last_words(),
                        self.etcd.last_words()
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that it trusts and that signed its certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority's certificate in a file.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Upstream's programs.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// A folder that goes when the server does.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Process id of kube-apiserver.
    pub fn pid(&self) -> Option<u32> {
        self.apiserver.pid()
    }

    /// As a user with a token.
    pub fn config(&self, user: User) -> Config {
        let mut config = self.anonymous();
        config.credentials = crate::client::Credentials::Token(user.token().into());
        config
    }

    /// As nobody in particular.
    #[allow(clippy::expect_used)] // we made the address
    pub fn anonymous(&self) -> Config {
        let mut config = Config::explicit(&self.url).expect("our own address");
        config.ca = Some(Source::Data(self.authority.certificate().as_bytes().to_vec()));
        config
    }

    /// As the user of a client certificate.
    pub fn config_of(&self, pair: &Pair) -> Config {
        let mut config = self.anonymous();
        config.identity = Some(Identity {
            certificate: Source::Data(pair.certificate.as_bytes().to_vec()),
            key: Source::Data(pair.key.as_bytes().to_vec()),
        });
        config
    }

    /// An administrator's client.
    #[allow(clippy::expect_used)] // for tests
    pub fn client(&self) -> Client {
        Client::new(self.config(User::Admin)).expect("our own configuration")
    }

    /// Writes an administrator's kubeconfig, for upstream's programs.
    pub fn kubeconfig(&self) -> std::io::Result<PathBuf> {
        let path = self.folder.join("admin.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: '{}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: admin, user: {{token: {}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n",
            self.url,
            self.ca_file().display(),
            User::Admin.token()
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.apiserver.kill();
        self.etcd.kill();
    }
}

fn etcd(assets: &Assets, folder: &Path, port: u16, peer_port: u16) -> Result<Process, String> {
    let (client, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        "--log-level=error".into(),
    ];
    Process::start_and_clean(&assets.program("etcd")?, &args, folder, Some(folder))
        .map_err(|cause| format!("starting etcd: {cause}"))
}

fn apiserver(
    assets: &Assets,
    folder: &Path,
    etcd: u16,
    port: u16,
    flags: &[&str],
) -> Result<Process, String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("serving.crt")),
        format!("--tls-private-key-file={}", file("serving.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--token-auth-file={}", file("tokens.csv")),
        format!("--service-account-key-file={}", file("accounts.crt")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--service-cluster-ip-range=10.0.0.0/16".into(),
        "--authorization-mode=Node,RBAC".into(),
        // No controllers make the accounts that it would ask for.
        "--disable-admission-plugins=ServiceAccount".into(),
        "--endpoint-reconciler-type=none".into(),
        "--allow-privileged=true".into(),
        "--watch-cache=true".into(),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    Process::start(&assets.program("kube-apiserver")?, &args, folder)
        .map_err(|cause| format!("starting kube-apiserver: {cause}"))
}
