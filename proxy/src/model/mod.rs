//! What traffic to Services should do on this node: pure functions of Services, EndpointSlices and facts about the node.
//!
//! ```text
//! Service + its EndpointSlices + NodeFacts --resolve(family)--> [PortRoute], one a port and family
//! ```
//!
//! [`service`] and [`slice`] are the slim API types, [`endpoints`] merges slices, [`policy`] chooses which endpoints
//! this node uses, [`resolve`] puts it together. No clock, no API client, no kernel.

mod endpoints;
mod node;
mod policy;
mod resolve;
mod route;
mod service;
mod slice;
mod wire;

pub use endpoints::{Candidate, candidates, local_ready};
pub use node::{Node, NodeFacts};
pub use policy::{Chosen, choose};
pub use resolve::{parse_ip, parse_net, resolve};
pub use route::{Endpoint, External, Family, PortRoute, Protocol, ServiceName};
pub use service::{HEADLESS_LABEL, SERVICE_PROXY_NAME_LABEL, Service};
pub use slice::EndpointSlice;

#[cfg(test)]
mod tests;
