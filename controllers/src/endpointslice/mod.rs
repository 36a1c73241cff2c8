//! EndpointSlices tell where a Service's pods are.
//!
//! ```text
//! Service + matching pods + their nodes --endpoints--> wanted endpoints by family and ports
//! wanted + existing slices --plan--> slices to create, update, delete: as few as can be
//! ```

pub mod endpoints;
pub mod plan;
pub mod sync;
pub mod tracker;
pub mod trigger;
