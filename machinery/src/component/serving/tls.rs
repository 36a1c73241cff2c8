//! Certificates of a component's server: files that are read again when they change, or a
//! self-signed one; and the authorities of client certificates.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a server has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read as PEM.
    #[error("reading the {what} {path}: {why}")]
    File {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it could not be read.
        why: String,
    },
    /// The key and the certificate could not be used.
    #[error("the server's certificate cannot be used: {0}")]
    Unusable(String),
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug)]
pub enum Certificates {
    /// PEM files: the chain and its key. They are looked at again when a connection comes in.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// Made at start, for these names and addresses.
    SelfSigned(Vec<String>),
}

/// Whose client certificates are taken.
#[derive(Clone, Debug, Default)]
pub enum ClientAuthorities {
    /// Nobody's.
    #[default]
    None,
    /// Those of the authorities in a PEM file.
    File(PathBuf),
    /// Those of these authorities, in PEM, and where they were read.
    Pem {
        /// The authorities.
        text: String,
        /// Where they are from, for errors.
        from: PathBuf,
    },
}

/// How often files are looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The TLS side of a server.
pub(super) fn server_config(
    certificates: &Certificates,
    authorities: &ClientAuthorities,
) -> Result<rustls::ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match authorities {
        ClientAuthorities::None => builder.with_no_client_auth(),
        ClientAuthorities::File(path) => {
            let roots = read_certificates(path);
            builder.with_client_cert_verifier(verifier(roots, path, provider)?)
        }
        ClientAuthorities::Pem { text, from } => {
            let roots = parse_certificates(text.as_bytes());
            builder.with_client_cert_verifier(verifier(roots, from, provider)?)
        }
    };
    let resolver: Arc<dyn ResolvesServerCert> = match certificates {
        Certificates::Files { certificate, key } => {
            Arc::new(FromFiles::new(certificate.clone(), key.clone())?)
        }
        Certificates::SelfSigned(names) => Arc::new(Fixed(self_signed(names)?)),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

type Chain = Vec<CertificateDer<'static>>;

fn verifier(
    authorities: Result<Chain, String>,
    from: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    let file = |why: String| TlsError::File {
        what: "client certificate authority",
        path: from.into(),
        why,
    };
    for certificate in authorities.map_err(&file)? {
        roots.add(certificate).map_err(|error| file(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| file(error.to_string()))
}

fn read_certificates(path: &Path) -> Result<Chain, String> {
    parse_certificates(&std::fs::read(path).map_err(|error| error.to_string())?)
}

fn parse_certificates(pem: &[u8]) -> Result<Chain, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        Err("it holds no certificate".into())
    } else {
        Ok(certificates)
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = rustls::crypto::ring::sign::any_supported_type(key)
        .map_err(|error| TlsError::Unusable(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

fn self_signed(names: &[String]) -> Result<Arc<CertifiedKey>, TlsError> {
    let unusable = |error: rcgen::Error| TlsError::Unusable(error.to_string());
    let made = rcgen::generate_simple_self_signed(names).map_err(unusable)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|why| TlsError::Unusable(why.into()))?;
    certified(vec![made.cert.der().clone()], &key)
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

struct FromFiles {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    current: Arc<CertifiedKey>,
    changed: Option<SystemTime>,
    looked: Instant,
}

impl FromFiles {
    fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let state = State {
            current: Self::read(&certificate, &key)?,
            changed: Self::changed(&certificate),
            looked: Instant::now(),
        };
        Ok(Self {
            certificate,
            key,
            state: Mutex::new(state),
        })
    }

    fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = read_certificates(certificate).map_err(|why| TlsError::File {
            what: "server certificate",
            path: certificate.into(),
            why,
        })?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            what: "server key",
            path: key.into(),
            why: error.to_string(),
        })?;
        certified(chain, &key)
    }

    fn changed(path: &Path) -> Option<SystemTime> {
        std::fs::metadata(path).and_then(|data| data.modified()).ok()
    }
}

impl ResolvesServerCert for FromFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut state = self.state.lock();
        if state.looked.elapsed() >= LOOK_AGAIN {
            state.looked = Instant::now();
            let changed = Self::changed(&self.certificate);
            if changed != state.changed {
                match Self::read(&self.certificate, &self.key) {
                    Ok(current) => (state.current, state.changed) = (current, changed),
                    Err(error) => tracing::warn!(%error, "keeping the server's certificate as it was"),
                }
            }
        }
        Some(state.current.clone())
    }
}

impl fmt::Debug for FromFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFiles")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
