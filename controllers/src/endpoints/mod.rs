//! Endpoints, the elder form of EndpointSlices: all of a Service's addresses of its first family in one object.
//!
//! ```text
//! Service + matching pods --subsets--> ready and not ready addresses by ports, a thousand at most
//! wanted + existing --plan--> create | update | nothing
//! ```

pub mod plan;
pub mod subsets;
pub mod sync;
