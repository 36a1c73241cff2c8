//! Passes requests on as they are: for the proxy that tests put in between.

use std::sync::Arc;

use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::tls::Tls;
use super::transport::Transport;
use super::{Config, ConfigError};

/// Sends requests that somebody else made to an API server, with the credentials that they carry.
pub(crate) struct Forward {
    base: String,
    transport: Transport,
}

impl Forward {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let tls = Arc::new(Tls::new(config)?);
        let base = config.server.to_string().trim_end_matches('/').to_owned();
        Ok(Forward {
            base,
            transport: Transport::new(tls, config.tls_server_name.clone(), config.is_secure()),
        })
    }

    pub(crate) async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, String> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.base)
            .parse::<Uri>()
            .map_err(|cause| cause.to_string())?;
        parts.version = http::Version::HTTP_11;
        for name in ["host", "connection", "transfer-encoding", "content-length"] {
            parts.headers.remove(name);
        }
        let body = body
            .collect()
            .await
            .map_err(|cause| cause.to_string())?
            .to_bytes();
        let request = Request::from_parts(parts, Full::new(body));
        self.transport
            .requests()
            .request(request)
            .await
            .map_err(|cause| cause.to_string())
    }
}
