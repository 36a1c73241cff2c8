//! EndpointSlices for Endpoints that users write for Services without a selector.
//!
//! ```text
//! Endpoints + mirrored slices --plan--> create | update | delete slices
//! Endpoints, Services, slices -> cache -> queue -> sync
//! ```

pub mod plan;
pub mod sync;
