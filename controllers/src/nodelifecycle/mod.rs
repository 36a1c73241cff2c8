//! Which nodes are dead, and what becomes of their pods.
//!
//! ```text
//! node + lease + when we last saw either change --health--> conditions Unknown; the node's pods are not ready
//! conditions, spec.unschedulable --taints--> NoSchedule taints; stable labels --labels--> beta labels
//! readiness of all nodes of a zone --zones--> how fast, and whether, its dead nodes are tainted NoExecute
//! NoExecute taints + tolerations --eviction--> pods to delete, now or later
//! ```
//!
//! Nothing is polled: each node has a timer that ends when it was silent for too long.

pub mod eviction;
pub mod health;
pub mod labels;
pub mod limiter;
pub mod metrics;
pub mod pods;
pub mod sync;
pub mod taints;
pub mod zones;
