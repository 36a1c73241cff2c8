//! exec, attach and port-forward: the runtime says where to stream, and we join the two ends.
//!
//! The client's upgrade (SPDY/3.1 or WebSocket) goes to the runtime's stream server just as it came, and the bytes after
//! it both ways; nothing in between is looked at.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{HeaderValue, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::debug;

/// Passes an upgrade request on to `url`.
pub(super) async fn pass(mut request: Request, url: &str) -> Response {
    if !is_upgrade(&request) {
        return (StatusCode::BAD_REQUEST, "Upgrade request required").into_response();
    }
    let near = hyper::upgrade::on(&mut request);
    let (response, far) = match ask(request, url).await {
        Ok(answer) => answer,
        Err(why) => {
            debug!(url, why, "streaming");
            return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
        }
    };
    let Some(far) = far else { return response };
    tokio::spawn(async move {
        let (near, far) = match tokio::try_join!(near, far) {
            Ok(ends) => ends,
            Err(error) => {
                debug!(%error, "an upgrade was broken off");
                return;
            }
        };
        let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
        // Either end may just go away: that is how these streams end.
        if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
            debug!(%error, "a stream was broken off");
        }
    });
    response
}

fn is_upgrade(request: &Request) -> bool {
    let tokens = request
        .headers()
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    tokens
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        && request.headers().contains_key(UPGRADE)
}

/// Asks the stream server; the second part is there if it agreed to the upgrade.
async fn ask(request: Request, url: &str) -> Result<(Response, Option<hyper::upgrade::OnUpgrade>), String> {
    let url: Uri = url
        .parse()
        .map_err(|error| format!("the runtime's stream address {url:?} is no URL: {error}"))?;
    if url.scheme_str() != Some("http") {
        return Err(format!(
            "the runtime streams at {url}, and only http is supported"
        ));
    }
    let host = url.host().unwrap_or("127.0.0.1").trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(80);
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot reach the runtime's stream server at {host}:{port}: {error}")
    };
    let connection = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed(&error))?;
    // Keystrokes.
    let _ = connection.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "the connection to the runtime's stream server");
        }
    });

    let mut forwarded = http::Request::new(Empty::<Bytes>::new());
    *forwarded.method_mut() = request.method().clone();
    *forwarded.uri_mut() = url
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse()
        .map_err(|error: http::uri::InvalidUri| format!("the runtime's stream path is not valid: {error}"))?;
    *forwarded.headers_mut() = request.headers().clone();
    // Who may stream was decided here; the runtime has no use for the client's token.
    forwarded.headers_mut().remove(AUTHORIZATION);
    if let Some(authority) = url
        .authority()
        .and_then(|at| HeaderValue::from_str(at.as_str()).ok())
    {
        forwarded.headers_mut().insert(HOST, authority);
    }
    let mut answer = sender
        .send_request(forwarded)
        .await
        .map_err(|error| failed(&error))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let far = hyper::upgrade::on(&mut answer);
        let (parts, _) = answer.into_parts();
        return Ok((Response::from_parts(parts, Body::empty()), Some(far)));
    }
    let (parts, body) = answer.into_parts();
    Ok((Response::from_parts(parts, Body::new(body)), None))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
