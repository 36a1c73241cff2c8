//! What load balancers and kubelets ask this node: is the proxy well, and has a Service endpoints here?
//!
//! ```text
//! sync task: queued / updated / node / local endpoints -> Health (pure state) -> :10256 /healthz, /livez
//!                                                              \-> a listener for each healthCheckNodePort
//! ```
//!
//! The documents are upstream's, byte for byte where it writes them by hand.

mod listen;
mod metrics;
mod proxy;
mod service;
mod state;

pub use listen::{listen, serve_until};
pub use metrics::metrics_router;
pub use proxy::proxy_router;
pub use service::ServicePorts;
pub use state::{Health, Report, Shared};
