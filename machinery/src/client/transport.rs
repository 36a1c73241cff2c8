//! Connections: TCP, TLS, HTTP/2 where the server speaks it.
//!
//! HTTP/2 is asked for from the start, so that many first requests make one connection and not one each; a server that
//! turns out not to speak it is dialled anew with HTTP/1.1.
//!
//! Requests share one connection. Watches have their own, so that a burst of events holds up no answer, and at most
//! [`WATCHES`] on each, since the API server allows 100 streams a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::Tls;

pub(super) type Pool = Http<Dial, Full<Bytes>>;

/// Watches on one connection.
const WATCHES: usize = 64;
/// As client-go: a connection that says nothing for this long is asked whether it lives...
const PING_AFTER: Duration = Duration::from_secs(30);
/// ... and is closed when it does not answer within this.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes that the server may send ahead on one watch. What we have not decoded yet is held in memory, so that a long list
/// would be there as a whole: hyper's own 2 MiB are for downloads.
const WATCH_WINDOW: u32 = 256 << 10;
/// ... and on all watches of one connection.
const WATCHES_WINDOW: u32 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The pools of connections.
pub(super) struct Transport {
    dial: Dial,
    pools: Mutex<Pools>,
}

struct Pools {
    generation: (u64, bool),
    requests: Pool,
    watches: Vec<(Pool, Arc<()>)>,
}

/// Counts as one watch on its connection for as long as it is held.
pub(super) struct WatchSlot(#[allow(dead_code)] Arc<()>);

impl Transport {
    pub(super) fn new(tls: Arc<Tls>, server_name: Option<String>, secure: bool) -> Self {
        let dial = Dial {
            tls,
            server_name,
            http1: Arc::new(AtomicBool::new(!secure)),
        };
        let generation = dial.generation();
        let pools = Mutex::new(Pools {
            generation,
            requests: dial.pool(),
            watches: Vec::new(),
        });
        Transport { dial, pools }
    }

    fn current(&self) -> parking_lot::MutexGuard<'_, Pools> {
        let generation = self.dial.generation();
        let mut pools = self.pools.lock();
        if pools.generation != generation {
            // New credentials or another protocol: new connections. The old ones close when their last request ends.
            *pools = Pools {
                generation,
                requests: self.dial.pool(),
                watches: Vec::new(),
            };
        }
        pools
    }

    pub(super) fn requests(&self) -> Pool {
        self.current().requests.clone()
    }

    pub(super) fn watch(&self) -> (Pool, WatchSlot) {
        let mut pools = self.current();
        if let Some((pool, slots)) = pools
            .watches
            .iter()
            .find(|(_, slots)| Arc::strong_count(slots) <= WATCHES)
        {
            return (pool.clone(), WatchSlot(slots.clone()));
        }
        let (pool, slots) = (self.dial.watch_pool(), Arc::new(()));
        pools.watches.push((pool.clone(), slots.clone()));
        (pool, WatchSlot(slots))
    }

    /// Connections that look alive may not be: the next requests dial anew.
    pub(super) fn reset(&self) {
        let mut pools = self.current();
        pools.requests = self.dial.pool();
        pools.watches.clear();
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dial {
    tls: Arc<Tls>,
    server_name: Option<String>,
    /// The server speaks HTTP/1.1 alone.
    http1: Arc<AtomicBool>,
}

impl Dial {
    /// Changes when connections have to be made anew.
    fn generation(&self) -> (u64, bool) {
        (self.tls.current().0, self.http1.load(Ordering::Relaxed))
    }

    fn pool(&self) -> Pool {
        self.pool_settings().build(self.clone())
    }

    fn watch_pool(&self) -> Pool {
        self.pool_settings()
            .http2_initial_stream_window_size(WATCH_WINDOW)
            .http2_initial_connection_window_size(WATCHES_WINDOW)
            .build(self.clone())
    }

    fn pool_settings(&self) -> hyper_util::client::legacy::Builder {
        let mut settings = Http::builder(TokioExecutor::new());
        settings
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(8)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(false)
            .http2_only(!self.http1.load(Ordering::Relaxed));
        settings
    }

    async fn connect(self, to: Uri) -> std::io::Result<TokioIo<Stream>> {
        let secure = to.scheme_str() != Some("http");
        let host = to
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|cause| {
            std::io::Error::new(cause.kind(), format!("connect to {host}:{port}: {cause}"))
        })?;
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(TokioIo::new(Stream::Plain(tcp)));
        }
        let name = self.server_name.unwrap_or(host);
        let name = ServerName::try_from(name.clone()).map_err(|_| {
            std::io::Error::other(format!(
                "{name:?} is not a host name that a certificate could have"
            ))
        })?;
        let config = self.tls.current().1;
        let stream = TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|cause| std::io::Error::new(cause.kind(), format!("TLS handshake: {cause}")))?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if !speaks_http2 && !self.http1.swap(true, Ordering::Relaxed) {
            return Err(std::io::Error::other(
                "the server speaks no HTTP/2: going on with HTTP/1.1",
            ));
        }
        Ok(TokioIo::new(Stream::Tls(Box::new(stream))))
    }
}

impl tower::Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move {
            tokio::time::timeout(CONNECT_TIMEOUT, dial.connect(to))
                .await
                .unwrap_or_else(|_| {
                    Err(std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "connecting took too long",
                    ))
                })
        })
    }
}

/// A connection, in the clear or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
