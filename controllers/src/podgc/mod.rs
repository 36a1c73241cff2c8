//! Pods that nobody else deletes: their node is gone or out of service, they never got one, or they ended long ago.
//!
//! ```text
//! pods + nodes + now --plan--> pods to fail and delete, nodes to look at again later
//! ```
