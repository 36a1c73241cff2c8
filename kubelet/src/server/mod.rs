//! The server on 10250 (and the read-only and healthz ports).
//!
//! ```text
//! TLS (client certificate) -> gate (TokenReview, SubjectAccessReview on subresources of our Node) -> routes
//!      /containerLogs -> log files    /exec /attach /portForward -> the runtime's stream server    /pods -> registry
//! ```
//!
//! In: requests from the API server, `kubectl logs|exec|attach|port-forward`, scrapers. Out: streams to and from the runtime,
//! log files, the pods of [`crate::pod::registry`].

mod attributes;
mod commands;
mod logs;
mod metrics;
mod pods;
mod query;
mod refusal;
mod routes;
mod stream;
mod system_logs;
mod target;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use http::request::Parts;
use machinery::component::auth::{Gate, GateConfig, Reviews};
use machinery::component::serving::{Certificates, ClientAuthorities, Health, Server, guard_by};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::context::Node;

/// Serves until `stop`.
///
/// # Errors
/// When the address cannot be bound or the certificate cannot be read or made.
pub async fn run(node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
    let config = &node.config;
    let health = Health::default();
    let mut serving = Vec::new();

    if config.healthz_port > 0 {
        let address = address(&config.healthz_bind_address, config.healthz_port)?;
        let server = Server::plain(address).context("the healthz port")?;
        serving.push(tokio::spawn(server.serve(routes::healthz(&health), stop.clone())));
    }
    if config.enable_server {
        let at = address(&config.address, config.port)?;
        let server =
            Server::tls(at, &certificates(&node), &authorities(&node)).context("the kubelet's port")?;
        info!(address = %at, "serving");
        let name = Arc::clone(&node.name);
        let of = Arc::new(move |parts: &Parts| attributes::of(parts, &name));
        let router = guard_by(routes::all(&node, &health), Arc::new(gate(&node)), of);
        serving.push(tokio::spawn(server.serve(router, stop.clone())));
        if config.read_only_port > 0 {
            let at = address(&config.address, config.read_only_port)?;
            let server = Server::plain(at).context("the read-only port")?;
            serving.push(tokio::spawn(
                server.serve(routes::read_only(&node, &health), stop.clone()),
            ));
        }
    }
    stop.cancelled().await;
    for server in serving {
        // A server that panicked has said so.
        let _ = server.await;
    }
    Ok(())
}

fn address(text: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let ip: IpAddr = text
        .parse()
        .with_context(|| format!("{text:?} is not an address to serve on"))?;
    Ok(SocketAddr::new(ip, port))
}

fn certificates(node: &Node) -> Certificates {
    let config = &node.config;
    if config.tls_cert_file.is_empty() {
        // The API server does not look at the name unless it was given an authority for kubelets; then files are needed.
        let mut names = vec![node.hostname.to_string()];
        names.extend(node.addresses.borrow().iter().map(ToString::to_string));
        Certificates::SelfSigned(names)
    } else {
        Certificates::Files {
            certificate: PathBuf::from(&config.tls_cert_file),
            key: PathBuf::from(&config.tls_private_key_file),
        }
    }
}

fn authorities(node: &Node) -> ClientAuthorities {
    let file = &node.config.authentication.x509.client_ca_file;
    if file.is_empty() {
        ClientAuthorities::None
    } else {
        ClientAuthorities::File(PathBuf::from(file))
    }
}

fn gate(node: &Node) -> Gate {
    let (authentication, authorization) = (&node.config.authentication, &node.config.authorization);
    let config = GateConfig {
        anonymous: authentication.anonymous.enabled,
        tokens: authentication.webhook.enabled,
        authorize: authorization.mode != "AlwaysAllow",
        always_allow: Vec::new(),
        token_ttl: authentication.webhook.cache_ttl.0,
        allowed_ttl: authorization.webhook.cache_authorized_ttl.0,
        denied_ttl: authorization.webhook.cache_unauthorized_ttl.0,
    };
    Gate::new(
        config,
        node.api
            .clone()
            .map(|client| Arc::new(client) as Arc<dyn Reviews>),
    )
}
