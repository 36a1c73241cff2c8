//! Whether a component works, asked where it listens: on its machine's own loopback.

use anyhow::{Context, Result, anyhow};
use http::Uri;
use http::uri::PathAndQuery;
use tokio::runtime::Builder;

use crate::machine::enter;
use crate::plan::choice::Component;

/// The health endpoint of a component, as its machine sees it.
pub const fn endpoint(component: Component) -> &'static str {
    match component {
        Component::Kubelet => "http://127.0.0.1:10248/healthz",
        Component::Proxy => "http://127.0.0.1:10256/healthz",
        Component::Scheduler => "https://127.0.0.1:10259/healthz",
        Component::Controllers => "https://127.0.0.1:10257/healthz",
    }
}

/// Gets `url` from inside the network namespace of `machine`, whoever the server says it is. Blocks.
///
/// # Errors
/// If nobody answers, or with other than success.
pub fn get(machine: u32, url: &str) -> Result<String> {
    let url: Uri = url.parse().with_context(|| format!("reading {url}"))?;
    enter::in_network(machine, move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting a runtime")?;
        runtime.block_on(async {
            let path = url.path().to_owned();
            // A client would put the path of its server before each request's.
            let mut config = kube::Config::new(server(url)?);
            config.accept_invalid_certs = true;
            config.connect_timeout = Some(std::time::Duration::from_secs(2));
            config.read_timeout = Some(std::time::Duration::from_secs(5));
            let client = kube::Client::try_from(config)?;
            let request = http::Request::get(path).body(Vec::new())?;
            client.request_text(request).await.map_err(|error| anyhow!(error))
        })
    })
}

fn server(url: Uri) -> Result<Uri> {
    let mut parts = url.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Ok(Uri::from_parts(parts)?)
}
