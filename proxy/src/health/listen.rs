use axum::Router;
use machinery::component::serving::{ServeError, Server};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(5);

/// Serves at once, or tries again until the address is free. With `hard`, a failure is an error.
///
/// # Errors
/// With `hard`, when the address cannot be listened on.
pub fn serve_until(
    what: &'static str,
    address: SocketAddr,
    router: Router,
    hard: bool,
    end: &CancellationToken,
) -> Result<(), ServeError> {
    match Server::plain(address) {
        Ok(server) => {
            tokio::spawn(server.serve(router, end.clone()));
            Ok(())
        }
        Err(error) if hard => Err(error),
        Err(error) => {
            tracing::error!(%address, %error, "{what} is not served; trying again every {RETRY:?}");
            let end = end.clone();
            tokio::spawn(async move {
                while end.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_some() {
                    if let Ok(server) = Server::plain(address) {
                        tracing::info!(%address, "{what} is served now");
                        return server.serve(router, end).await;
                    }
                }
            });
            Ok(())
        }
    }
}

/// A listener for one family alone, so that both can have the port.
///
/// # Errors
/// When the address is in use or is not this host's.
pub fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    bind(&fd, &address)?;
    listen(&fd, 128)?;
    tokio::net::TcpListener::from_std(fd.into())
}
