//! A component's server: TLS or plain, health and metrics, behind a [`Gate`](super::auth::Gate).
//!
//! ```text
//! listener -> TLS (client certificate -> Identity) -> gate -> routes: /healthz /livez /readyz /metrics /configz + own
//! ```

mod health;
mod listener;
mod routes;
mod tls;

pub use health::{Check, Health};
pub use listener::{Peer, ServeError, Server};
pub use routes::{guard, guard_by, standard};
pub use tls::{Certificates, ClientAuthorities, TlsError};
