//! TLS towards the API server, with a client certificate that may rotate under us.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::{Config, ConfigError, Identity, Source};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate that an exec plugin printed.
#[derive(Default)]
pub(super) struct ExecIdentity(Mutex<Option<(u64, Identity)>>);

impl ExecIdentity {
    pub(super) fn set(&self, certificate: Vec<u8>, key: Vec<u8>) {
        let mut held = self.0.lock();
        let generation = held.as_ref().map_or(0, |(generation, _)| *generation) + 1;
        *held = Some((
            generation,
            Identity {
                certificate: Source::Data(certificate),
                key: Source::Data(key),
            },
        ));
    }
    fn get(&self) -> Option<(u64, Identity)> {
        self.0.lock().clone()
    }
}

/// What the files looked like when they were read.
type Stamp = (u64, Vec<Option<(SystemTime, u64, u64)>>);

struct Built {
    stamp: Stamp,
    looked: Instant,
    generation: u64,
    config: Arc<ClientConfig>,
}

/// Builds the TLS configuration, and builds it again when its files changed.
pub(super) struct Tls {
    ca: Option<Source>,
    identity: Option<Identity>,
    insecure: bool,
    pub(super) exec: Arc<ExecIdentity>,
    built: Mutex<Built>,
}

impl Tls {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let exec = Arc::new(ExecIdentity::default());
        let stamp = stamp(config.ca.as_ref(), config.identity.as_ref(), &exec);
        let built = build(config.ca.as_ref(), config.identity.as_ref(), config.insecure)?;
        Ok(Tls {
            ca: config.ca.clone(),
            identity: config.identity.clone(),
            insecure: config.insecure,
            exec,
            built: Mutex::new(Built {
                stamp,
                looked: Instant::now(),
                generation: 0,
                config: Arc::new(built),
            }),
        })
    }

    /// The configuration now, and a number that changes whenever it does.
    pub(super) fn current(&self) -> (u64, Arc<ClientConfig>) {
        let mut built = self.built.lock();
        let exec = self.exec.get();
        if built.looked.elapsed() >= LOOK || exec.as_ref().map_or(0, |held| held.0) != built.stamp.0 {
            built.looked = Instant::now();
            let now = stamp(self.ca.as_ref(), self.identity.as_ref(), &self.exec);
            if now != built.stamp {
                let identity = exec
                    .map(|(_, identity)| identity)
                    .or_else(|| self.identity.clone());
                match build(self.ca.as_ref(), identity.as_ref(), self.insecure) {
                    Ok(config) => {
                        built.config = Arc::new(config);
                        built.generation += 1;
                        built.stamp = now;
                        tracing::info!("the client certificate or the CA bundle changed and was read again");
                    }
                    // Half-written perhaps: what we have stays good, and the files are looked at again soon.
                    Err(problem) => tracing::warn!("keeping the client certificate in use: {problem}"),
                }
            }
        }
        (built.generation, built.config.clone())
    }

    /// Look at the files at once: they were just rewritten.
    pub(super) fn look_now(&self) {
        let mut built = self.built.lock();
        built.looked = built.looked.checked_sub(LOOK).unwrap_or(built.looked);
    }
}

fn stamp(ca: Option<&Source>, identity: Option<&Identity>, exec: &ExecIdentity) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let look = |source: Option<&Source>| match source {
        Some(Source::File(path)) => std::fs::metadata(path)
            .ok()
            .and_then(|meta| Some((meta.modified().ok()?, meta.ino(), meta.size()))),
        _ => None,
    };
    let files = vec![
        look(ca),
        look(identity.map(|i| &i.certificate)),
        look(identity.map(|i| &i.key)),
    ];
    (exec.get().map_or(0, |held| held.0), files)
}

fn problem(what: &str, problem: impl std::fmt::Display) -> ConfigError {
    ConfigError::Tls {
        what: what.to_owned(),
        problem: problem.to_string(),
    }
}

fn build(
    ca: Option<&Source>,
    identity: Option<&Identity>,
    insecure: bool,
) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|cause| problem("TLS", cause))?;
    let mut roots = RootCertStore::empty();
    match ca {
        Some(source) => {
            let pem = source.read()?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|cause| problem("CA bundle", cause))?;
                roots
                    .add(certificate)
                    .map_err(|cause| problem("CA bundle", cause))?;
            }
            if roots.is_empty() {
                return Err(problem("CA bundle", format!("no certificate in {source:?}")));
            }
        }
        None => system_roots(&mut roots),
    }
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let pem = certificate.read()?;
            let chain = CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|cause| problem("client certificate", cause))?;
            if chain.is_empty() {
                return Err(problem(
                    "client certificate",
                    format!("no certificate in {certificate:?}"),
                ));
            }
            let key =
                PrivateKeyDer::from_pem_slice(&key.read()?).map_err(|cause| problem("client key", cause))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|cause| problem("client certificate", cause))?
        }
    };
    if insecure {
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(AnyServer(provider)));
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // One server: a handful of tickets will do.
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    Ok(config)
}

/// Where Debian, Fedora, Alpine and SUSE keep their bundle.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

fn system_roots(roots: &mut RootCertStore) {
    let named = std::env::var("SSL_CERT_FILE").ok();
    for path in named.iter().map(String::as_str).chain(SYSTEM_BUNDLES) {
        if let Ok(certificates) = CertificateDer::pem_file_iter(Path::new(path)) {
            roots.add_parsable_certificates(certificates.flatten());
            return;
        }
    }
}

/// Trusts any server: for `insecure-skip-tls-verify`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
