//! A component's server as its clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use machinery::component::auth::{Gate, GateConfig};
use machinery::component::serving::{Certificates, ClientAuthorities, Health, Server, guard, standard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

async fn get(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn health_is_open_and_metrics_are_guarded() {
    let health = Health::default();
    let gate = Arc::new(Gate::new(GateConfig::default(), None));
    let server = Server::plain("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address().unwrap();
    let end = CancellationToken::new();
    let serving = tokio::spawn(server.serve(guard(standard(&health, None), gate), end.clone()));
    let ask = async |path| get(tokio::net::TcpStream::connect(address).await.unwrap(), path).await;

    assert!(ask("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(ask("/metrics").await.starts_with("HTTP/1.1 403"));
    health.add("queue", || Err("stuck".into()));
    let answer = ask("/healthz").await;
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("[-]queue failed: stuck"),
        "{answer}"
    );
    end.cancel();
    serving.await.unwrap();
}

/// An authority, and what it signed: PEM files in a folder.
struct Pki {
    folder: tempfile::TempDir,
    client: (
        rustls_pki_types::CertificateDer<'static>,
        rustls_pki_types::PrivateKeyDer<'static>,
    ),
}

fn pki() -> Pki {
    let folder = tempfile::tempdir().unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = params.self_signed(&ca_key).unwrap();
    let ca = rcgen::Issuer::new(params, ca_key);
    std::fs::write(folder.path().join("ca.pem"), ca_certificate.pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:masters");
    let certificate = params.signed_by(&key, &ca).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Pki {
        folder,
        client: (certificate.der().clone(), key),
    }
}

#[tokio::test]
async fn a_client_certificate_names_its_user() {
    let pki = pki();
    let names = vec!["localhost".to_owned()];
    let authorities = ClientAuthorities::File(pki.folder.path().join("ca.pem"));
    let server = Server::tls(
        "127.0.0.1:0".parse().unwrap(),
        &Certificates::SelfSigned(names),
        &authorities,
    )
    .unwrap();
    let address = server.address().unwrap();
    let end = CancellationToken::new();
    let gate = Arc::new(Gate::new(GateConfig::default(), None));
    tokio::spawn(server.serve(guard(standard(&Health::default(), None), gate), end.clone()));

    for (with_certificate, status) in [(true, "HTTP/1.1 200"), (false, "HTTP/1.1 403")] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TakesAny(provider)));
        let config = if with_certificate {
            let (certificate, key) = &pki.client;
            builder
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        let answer = get(stream, "/metrics").await;
        assert!(answer.starts_with(status), "{with_certificate}: {answer}");
    }
    end.cancel();
}

/// The server's own certificate is not what this test is about.
#[derive(Debug)]
struct TakesAny(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls_pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls_pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
