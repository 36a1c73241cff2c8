//! Endpoints, the elder form of EndpointSlices: all of a Service's addresses of its first family in one object.
//!
//! ```text
//! Service + matching pods --subsets--> ready and not ready addresses by ports
//! wanted + existing --plan--> create | update | delete | nothing
//! ```
