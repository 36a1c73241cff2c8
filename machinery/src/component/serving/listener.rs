//! Connections in, requests to a router, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::tls::{self, Certificates, ClientAuthorities, TlsError};
use crate::component::auth::Identity;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests under way are waited for at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address could not be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// Where a request came from; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Server {
    /// Listens without TLS.
    ///
    /// # Errors
    /// The address could not be listened on.
    pub fn plain(address: SocketAddr) -> Result<Self, ServeError> {
        Ok(Self {
            listener: listen(address)?,
            tls: None,
        })
    }

    /// Listens with TLS; client certificates of `authorities` name their users.
    ///
    /// # Errors
    /// The address could not be listened on, or a certificate cannot be used.
    pub fn tls(
        address: SocketAddr,
        certificates: &Certificates,
        authorities: &ClientAuthorities,
    ) -> Result<Self, ServeError> {
        let config = tls::server_config(certificates, authorities)?;
        Ok(Self {
            listener: listen(address)?,
            tls: Some(TlsAcceptor::from(Arc::new(config))),
        })
    }

    /// The address that is listened on, with the port that was chosen where 0 was asked for.
    ///
    /// # Errors
    /// The socket does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `router` until `end`, then waits a little for requests under way.
    pub async fn serve(self, router: Router, end: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = end.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: those in use must end first.
                        debug!(%error, "accepting a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (router, tls, end) = (router.clone(), self.tls.clone(), end.clone());
            connections.spawn(connection(stream, peer, router, tls, end));
        }
        connections.close();
        let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1_024)
    };
    open().map_err(|source| ServeError::Listen { address, source })
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    end: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return http(stream, peer, None, router, end).await;
    };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first());
            let identity = certificate
                .and_then(|der| Identity::of_certificate(der))
                .map(Arc::new);
            http(stream, peer, identity, router, end).await;
        }
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake"),
        Err(_) => debug!(%peer, "TLS handshake took too long"),
    }
}

async fn http<S>(
    stream: S,
    peer: SocketAddr,
    identity: Option<Arc<Identity>>,
    router: Router,
    end: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            if let Some(identity) = &identity {
                request.extensions_mut().insert(identity.clone());
            }
            request
        })
        .service(router);
    let builder = auto::Builder::new(TokioExecutor::new());
    let serving =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = end.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        debug!(%peer, %error, "connection");
    }
}
