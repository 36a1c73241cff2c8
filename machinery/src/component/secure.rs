//! The secure port of a component that delegates authentication and authorization to the API
//! server, as kube-scheduler and kube-controller-manager do.
//!
//! ```text
//! flags + client -> certificates, client authorities (a file, else the cluster's own) -> gate -> Server
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::auth::{Gate, GateConfig, Reviews};
use super::flags::{Flag, FlagError, Flags, Kind, inert, works};
use super::serving::{Certificates, ClientAuthorities, Server, guard};
use crate::client::Client;

const NO_FRONT_PROXY: &str = "requests of an aggregating proxy are not served here";
const CIPHERS: &str = "TLS 1.2 and 1.3 with modern cipher suites only";

/// The flags of the secure port.
pub const FLAGS: &[Flag] = &[
    works(
        "bind-address",
        Kind::Text,
        "the address to serve on; 0.0.0.0 or :: for all",
    ),
    works(
        "secure-port",
        Kind::Text,
        "the port to serve on with TLS; 0 serves nothing",
    ),
    works(
        "tls-cert-file",
        Kind::Text,
        "the server's certificate chain; self-signed if absent",
    ),
    works("tls-private-key-file", Kind::Text, "the key of --tls-cert-file"),
    works(
        "client-ca-file",
        Kind::Text,
        "authorities of client certificates; the cluster's own if absent",
    ),
    works(
        "authentication-kubeconfig",
        Kind::Text,
        "how to reach the API server for TokenReviews",
    ),
    works(
        "authentication-skip-lookup",
        Kind::Bool,
        "do not ask the cluster for its client authorities",
    ),
    works(
        "authentication-token-webhook-cache-ttl",
        Kind::Text,
        "how long a token's verdict holds",
    ),
    works(
        "authorization-kubeconfig",
        Kind::Text,
        "how to reach the API server for SubjectAccessReviews",
    ),
    works(
        "authorization-always-allow-paths",
        Kind::List,
        "paths that need no authorization",
    ),
    works(
        "authorization-webhook-cache-authorized-ttl",
        Kind::Text,
        "how long a yes holds",
    ),
    works(
        "authorization-webhook-cache-unauthorized-ttl",
        Kind::Text,
        "how long a no holds",
    ),
    inert(
        "authentication-tolerate-lookup-failure",
        Kind::Bool,
        "a failed lookup is always tolerated, and said",
    ),
    inert("requestheader-allowed-names", Kind::List, NO_FRONT_PROXY),
    inert("requestheader-client-ca-file", Kind::Text, NO_FRONT_PROXY),
    inert("requestheader-extra-headers-prefix", Kind::List, NO_FRONT_PROXY),
    inert("requestheader-group-headers", Kind::List, NO_FRONT_PROXY),
    inert("requestheader-uid-headers", Kind::List, NO_FRONT_PROXY),
    inert("requestheader-username-headers", Kind::List, NO_FRONT_PROXY),
    inert(
        "cert-dir",
        Kind::Text,
        "a self-signed certificate is kept in memory",
    ),
    inert("tls-sni-cert-key", Kind::List, "one certificate serves all names"),
    inert("tls-cipher-suites", Kind::List, CIPHERS),
    inert("tls-curve-preferences", Kind::List, CIPHERS),
    inert("tls-min-version", Kind::Text, CIPHERS),
    inert(
        "http2-max-streams-per-connection",
        Kind::Text,
        "a built-in limit holds",
    ),
    inert("permit-address-sharing", Kind::Bool, "SO_REUSEADDR is always set"),
    inert("permit-port-sharing", Kind::Bool, "SO_REUSEPORT is not used"),
    inert("disable-http2-serving", Kind::Bool, "HTTP/2 is always offered"),
    inert("profiling", Kind::Bool, "there is no Go runtime to profile"),
    inert(
        "contention-profiling",
        Kind::Bool,
        "there is no Go runtime to profile",
    ),
];

/// What the flags say of the secure port.
#[derive(Clone, Debug)]
pub struct Secure {
    /// Where to serve; `None` serves nothing.
    pub address: Option<SocketAddr>,
    certificates: Certificates,
    authorities: Option<PathBuf>,
    look_up: bool,
    reviewer: Option<PathBuf>,
    gate: GateConfig,
}

impl Secure {
    /// Reads the flags, with `port` as the default.
    ///
    /// # Errors
    /// A flag has a bad value.
    pub fn from_flags(flags: &Flags, port: u16) -> Result<Self, FlagError> {
        let ip: IpAddr = flags
            .number("bind-address")?
            .unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let port = flags.number("secure-port")?.unwrap_or(port);
        let path = |name| flags.non_empty(name).map(PathBuf::from);
        let certificates = match (path("tls-cert-file"), path("tls-private-key-file")) {
            (Some(certificate), Some(key)) => Certificates::Files { certificate, key },
            (None, None) => Certificates::SelfSigned(vec!["localhost".into(), "127.0.0.1".into()]),
            (Some(_), None) => {
                return Err(flags.invalid("tls-cert-file", "--tls-private-key-file is needed too"));
            }
            (None, Some(_)) => {
                return Err(flags.invalid("tls-private-key-file", "--tls-cert-file is needed too"));
            }
        };
        let defaults = GateConfig::default();
        let ttl = |name, default: Duration| Ok::<_, FlagError>(flags.duration(name)?.unwrap_or(default));
        let gate = GateConfig {
            always_allow: flags
                .list("authorization-always-allow-paths")
                .map_or(defaults.always_allow, |paths| {
                    paths.into_iter().map(str::to_owned).collect()
                }),
            token_ttl: ttl("authentication-token-webhook-cache-ttl", defaults.token_ttl)?,
            allowed_ttl: ttl("authorization-webhook-cache-authorized-ttl", defaults.allowed_ttl)?,
            denied_ttl: ttl(
                "authorization-webhook-cache-unauthorized-ttl",
                defaults.denied_ttl,
            )?,
            ..defaults
        };
        Ok(Self {
            address: (port != 0).then_some(SocketAddr::new(ip, port)),
            certificates,
            authorities: path("client-ca-file"),
            look_up: !flags.boolean("authentication-skip-lookup").unwrap_or(false),
            reviewer: path("authentication-kubeconfig").or_else(|| path("authorization-kubeconfig")),
            gate,
        })
    }

    /// Listens at once and serves `router` until `end`; `client` asks the API server, unless the
    /// flags name a kubeconfig of its own for that.
    ///
    /// # Errors
    /// The port cannot be listened on, or a file cannot be used.
    pub async fn start(self, client: &Client, router: Router, end: CancellationToken) -> anyhow::Result<()> {
        let Some(address) = self.address else {
            return Ok(());
        };
        let reviewer = match &self.reviewer {
            Some(path) => Client::new(crate::client::Config::from_kubeconfig(path)?)
                .context("making the reviewer's client")?,
            None => client.clone(),
        };
        let authorities = match self.authorities {
            Some(path) => ClientAuthorities::File(path),
            None if self.look_up => cluster_authorities(&reviewer).await,
            None => ClientAuthorities::None,
        };
        let server = Server::tls(address, &self.certificates, &authorities)?;
        let gate = Gate::new(self.gate, Some(Arc::new(reviewer) as Arc<dyn Reviews>));
        tokio::spawn(server.serve(guard(router, Arc::new(gate)), end));
        Ok(())
    }
}

/// The authorities that the API server publishes for its extensions.
async fn cluster_authorities(client: &Client) -> ClientAuthorities {
    #[derive(Deserialize)]
    struct ConfigMap {
        #[serde(default)]
        data: std::collections::BTreeMap<String, String>,
    }
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let found = tokio::time::timeout(Duration::from_secs(5), client.raw_get(path)).await;
    let why = match found {
        Err(_) => "no answer in 5 s".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(body)) => match serde_json::from_slice::<ConfigMap>(&body) {
            Err(error) => error.to_string(),
            Ok(mut map) => match map.data.remove("client-ca-file") {
                Some(text) => {
                    return ClientAuthorities::Pem {
                        text,
                        from: path.into(),
                    };
                }
                None => "it has no client-ca-file".to_owned(),
            },
        },
    };
    warn!(%why, "client certificates are not taken: the cluster's client authorities could not be read");
    ClientAuthorities::None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::flags::Program;

    fn secure(args: &[&str]) -> Result<Secure, FlagError> {
        let program = Program {
            name: "x",
            about: "x",
            flags: &[FLAGS],
        };
        Secure::from_flags(&program.parse_from(args.iter().copied()).unwrap(), 10_259)
    }

    #[test]
    fn the_port_and_address_are_as_asked() {
        let address = |args: &[&str]| secure(args).unwrap().address.map(|address| address.to_string());
        assert_eq!(address(&[]).as_deref(), Some("0.0.0.0:10259"));
        assert_eq!(
            address(&["--secure-port=1", "--bind-address=::1"]).as_deref(),
            Some("[::1]:1")
        );
        assert_eq!(address(&["--secure-port=0"]), None);
    }

    #[test]
    fn half_a_key_pair_and_bad_values_are_refused() {
        assert!(
            secure(&["--tls-cert-file=a"])
                .unwrap_err()
                .to_string()
                .contains("--tls-private-key-file")
        );
        assert!(
            secure(&["--bind-address=x"])
                .unwrap_err()
                .to_string()
                .contains("--bind-address")
        );
        assert!(secure(&["--secure-port=70000"]).is_err());
    }
}
