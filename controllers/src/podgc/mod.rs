//! Pods that nobody else deletes: their node is gone or out of service, they never got one, or they ended long ago.
//!
//! ```text
//! pods + nodes + nodes known to be gone --plan--> pods to fail and delete
//! missing nodes + since when --quarantine--> nodes to ask the API server about
//! ```

pub mod metrics;
pub mod plan;
pub mod quarantine;
pub mod sync;
