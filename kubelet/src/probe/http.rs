//! HTTP requests of probes and hooks: to whatever certificate, without a proxy, redirects only to the same host.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1 as core;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Outcome;
use super::attempt::{OUTPUT, port, words};

/// Redirects followed.
const REDIRECTS: usize = 10;

/// Where to ask, and how.
#[derive(Clone, Debug)]
pub struct Request {
    https: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    body: String,
    location: Option<String>,
}

impl Answer {
    /// As a probe takes it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self.status {
            200..300 => Outcome::Success(None),
            300..400 => Outcome::Success(Some(format!(
                "Probe terminated redirects, Response body: {}",
                self.body
            ))),
            status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        }
    }
}

impl Request {
    /// Of an action; `agent`: the program that the user agent names.
    ///
    /// # Errors
    /// When there is no address or no such port.
    pub fn new(
        get: &core::HTTPGetAction,
        container: &core::Container,
        pod_ip: Option<IpAddr>,
        agent: &str,
    ) -> Result<Self, String> {
        let host = match get.host.as_deref() {
            Some(host) if !host.is_empty() => host.to_owned(),
            _ => pod_ip.map(|ip| ip.to_string()).ok_or("the pod has no address")?,
        };
        let port = port(&get.port, container).ok_or_else(|| format!("couldn't find port: {:?}", get.port))?;
        let mut path = get.path.clone().unwrap_or_default();
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        let mut headers: Vec<(String, String)> = get
            .http_headers
            .iter()
            .flatten()
            .map(|h| (h.name.to_ascii_lowercase(), h.value.clone()))
            .collect();
        let mut default = |name: &str, value: String| {
            if !headers.iter().any(|(n, _)| n == name) {
                headers.push((name.to_owned(), value));
            }
        };
        default("user-agent", format!("{agent}/1.37"));
        default("accept", "*/*".into());
        headers.retain(|(name, value)| !(name == "accept" && value.is_empty()));
        let https = get
            .scheme
            .as_deref()
            .is_some_and(|s| s.eq_ignore_ascii_case("HTTPS"));
        Ok(Self {
            https,
            host,
            port,
            path,
            headers,
        })
    }

    /// For messages.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!("{scheme}://{host}:{}{}", self.port, self.path)
    }

    /// Where a redirect leads, when it stays on this host.
    fn redirected(&self, location: &str) -> Option<Self> {
        let mut next = self.clone();
        if let Some(path) = location.strip_prefix('/').filter(|p| !p.starts_with('/')) {
            next.path = format!("/{path}");
            return Some(next);
        }
        let uri: http::Uri = location.parse().ok()?;
        if uri.host()?.trim_matches(['[', ']']) != self.host {
            return None;
        }
        next.https = uri.scheme_str() == Some("https");
        next.port = uri.port_u16().unwrap_or(if next.https { 443 } else { 80 });
        next.path = uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str)
            .to_owned();
        Some(next)
    }
}

/// Sends a GET and follows redirects that stay on the host.
///
/// # Errors
/// When there is no answer: in Go's words as far as tests and users know them.
pub async fn get(request: &Request) -> Result<Answer, String> {
    let mut request = request.clone();
    for _ in 0..=REDIRECTS {
        let answer = once(&request).await?;
        let next = answer
            .location
            .as_deref()
            .filter(|_| (300..400).contains(&answer.status));
        match next.and_then(|location| request.redirected(location)) {
            Some(next) => request = next,
            None => return Ok(answer),
        }
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

async fn once(request: &Request) -> Result<Answer, String> {
    let Request { host, port, .. } = request;
    let dial = |error: &std::io::Error| format!("dial tcp {host}:{port}: {}", words(error));
    let stream = TcpStream::connect((host.as_str(), *port))
        .await
        .map_err(|e| dial(&e))?;
    if !request.https {
        return exchange(request, TokioIo::new(stream)).await;
    }
    let name = ServerName::try_from(host.clone()).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::clone(&TLS))
        .connect(name, stream)
        .await
        .map_err(|error| {
            if error.to_string().contains("InvalidContentType") {
                "http: server gave HTTP response to HTTPS client".to_owned()
            } else {
                error.to_string()
            }
        })?;
    exchange(request, TokioIo::new(stream)).await
}

async fn exchange<IO>(request: &Request, io: IO) -> Result<Answer, String>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let default_host = if request.host.contains(':') {
        format!("[{}]:{}", request.host, request.port)
    } else {
        format!("{}:{}", request.host, request.port)
    };
    let mut builder = http::Request::get(&request.path).header("connection", "close");
    if !request.headers.iter().any(|(n, _)| n == "host") {
        builder = builder.header("host", default_host);
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let message = builder.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let answer = sender.send_request(message).await.map_err(|error| {
        if error.is_incomplete_message() {
            "EOF".to_owned()
        } else {
            error.to_string()
        }
    });
    let out = match answer {
        Ok(response) => Ok(Answer {
            status: response.status().as_u16(),
            location: response
                .headers()
                .get("location")
                .and_then(|l| l.to_str().ok())
                .map(str::to_owned),
            body: read(response.into_body()).await,
        }),
        Err(why) => Err(why),
    };
    driver.abort();
    out
}

async fn read(mut body: Incoming) -> String {
    let mut out = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            out.extend_from_slice(&data);
        }
        if out.len() >= OUTPUT {
            break;
        }
    }
    out.truncate(OUTPUT);
    String::from_utf8_lossy(&out).into_owned()
}

/// `grpc.health.v1.Health/Check` over plain HTTP/2.
pub async fn grpc_health(ip: IpAddr, port: u16, service: &str) -> Outcome {
    let at = format!("{ip}:{port}");
    let stream = match TcpStream::connect((ip, port)).await {
        Ok(stream) => stream,
        Err(error) => {
            return Outcome::Failure(format!(
                "service unhealthy (responded with \"UNKNOWN\"): dial tcp {at}: {}",
                words(&error)
            ));
        }
    };
    match check(stream, ip, port, service).await {
        Ok(1) => Outcome::Success(None),
        Ok(status) => {
            let word = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                _ => "SERVICE_UNKNOWN",
            };
            Outcome::Failure(format!("service unhealthy (responded with {word:?})"))
        }
        Err(why) => Outcome::Failure(format!("failed to check health of {at}: {why}")),
    }
}

async fn check(stream: TcpStream, ip: IpAddr, port: u16, service: &str) -> Result<u8, String> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        message.push(u8::try_from(service.len()).map_err(|_| "service name too long".to_owned())?);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
    frame.extend_from_slice(&message);
    let authority = std::net::SocketAddr::new(ip, port);
    let request = http::Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.37")
        .body(Full::new(Bytes::from(frame)))
        .map_err(|e| e.to_string())?;
    let result = answer(sender.send_request(request).await.map_err(|e| e.to_string())).await;
    driver.abort();
    result
}

async fn answer(response: Result<http::Response<Incoming>, String>) -> Result<u8, String> {
    let response = response?;
    let status = |headers: &http::HeaderMap| {
        headers
            .get("grpc-status")
            .and_then(|s| s.to_str().ok())
            .map(str::to_owned)
    };
    let mut code = status(response.headers());
    let mut body = Vec::new();
    let mut frames = response.into_body();
    while let Some(frame) = frames.frame().await {
        let frame = frame.map_err(|e| e.to_string())?;
        match frame.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => code = frame.trailers_ref().and_then(status).or(code),
        }
    }
    match code.as_deref() {
        Some("0") => Ok(match body.get(5..) {
            // Field 1, a number; absent when it is 0 (UNKNOWN).
            Some([0x08, status, ..]) => *status,
            _ => 0,
        }),
        Some("12") => {
            Err("this server does not implement the grpc health protocol (grpc.health.v1.Health)".into())
        }
        Some("5") => Ok(3),
        other => Err(format!("grpc status {}", other.unwrap_or("missing"))),
    }
}

/// A probe asks whether somebody answers, not who: any certificate will do.
static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    // The two versions are built in: this cannot fail, but if it does the default is as good.
    let builder = match builder.with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13]) {
        Ok(builder) => builder,
        Err(_) => rustls::ClientConfig::builder(),
    };
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(algorithms)));
    Arc::new(config.with_no_client_auth())
});

#[derive(Debug)]
struct Anyone(rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    #[test]
    fn requests_name_the_pod_and_redirects_stay_on_it() {
        let get = core::HTTPGetAction {
            path: Some("healthz?x=1".into()),
            port: IntOrString::String("web".into()),
            ..Default::default()
        };
        let container = core::Container {
            ports: Some(vec![core::ContainerPort {
                name: Some("web".into()),
                container_port: 8080,
                ..Default::default()
            }]),
            ..Default::default()
        };
        let request = Request::new(&get, &container, Some("fd00::1".parse().unwrap()), "kube-probe").unwrap();
        assert_eq!(request.url(), "http://[fd00::1]:8080/healthz?x=1");
        for (location, there) in [
            ("/b", Some("http://[fd00::1]:8080/b")),
            ("https://[fd00::1]:1/c", Some("https://[fd00::1]:1/c")),
            ("http://elsewhere/", None),
        ] {
            assert_eq!(request.redirected(location).map(|r| r.url()).as_deref(), there);
        }
        assert!(Request::new(&get, &core::Container::default(), None, "x").is_err());
    }
}
