//! TCP from the host's loopback into a machine.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};

/// Accepts on `listener`, which was opened outside, and connects to `to` from where this runs.
pub async fn forward(listener: std::net::TcpListener, to: SocketAddr) -> Result<()> {
    listener.set_nonblocking(true).context("preparing a listener")?;
    let listener = TcpListener::from_std(listener).context("preparing a listener")?;
    loop {
        let Ok((mut outside, _)) = listener.accept().await else {
            continue;
        };
        tokio::task::spawn_local(async move {
            if let Ok(mut inside) = TcpStream::connect(to).await {
                let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}
