//! A client inside the namespace that connects all the time, until it is answered as it wants to be.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::space::Space;
use crate::machine::enter;

/// What is lost on the way is not waited for: this bounds how exact an answer's time is where packets are dropped.
const CONNECT: Duration = Duration::from_millis(2);
const READ: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_micros(300);

/// An answer to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    address: SocketAddr,
    /// The letter of the server that is to answer; any, if `None`.
    letter: Option<u8>,
    patience: Duration,
}

impl Wanted {
    pub fn any(address: &str, patience: Duration) -> Result<Self> {
        let address = address.parse().with_context(|| format!("reading {address}"))?;
        Ok(Self {
            address: SocketAddr::new(address, 80),
            letter: None,
            patience,
        })
    }

    pub fn of(address: &str, letter: u8, patience: Duration) -> Result<Self> {
        Ok(Self {
            letter: Some(letter),
            ..Self::any(address, patience)?
        })
    }

    fn ask(&self) -> Option<u8> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT).ok()?;
        stream.set_read_timeout(Some(READ)).ok()?;
        let mut letter = [0];
        stream.read_exact(&mut letter).ok()?;
        Some(letter[0])
    }
}

/// Starts to ask at once; the result is when the answer came.
///
/// # Errors
/// If it does not come in time.
pub fn spawn(space: &Arc<Space>, wanted: Wanted) -> impl Future<Output = Result<Instant>> + use<> {
    let space = Arc::clone(space);
    let asking = tokio::task::spawn_blocking(move || {
        enter::in_network(space.pid(), move || {
            let since = Instant::now();
            loop {
                let heard = wanted.ask();
                if heard.is_some_and(|heard| wanted.letter.is_none_or(|letter| letter == heard)) {
                    return Ok(Instant::now());
                }
                if since.elapsed() > wanted.patience {
                    bail!(
                        "{} did not answer as it should within {:?} (last: {:?})",
                        wanted.address,
                        wanted.patience,
                        heard.map(char::from)
                    );
                }
                std::thread::sleep(PAUSE);
            }
        })
    });
    async { asking.await.context("asking a Service")? }
}
