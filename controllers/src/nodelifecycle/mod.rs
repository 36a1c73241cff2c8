//! Which nodes are dead, and what becomes of their pods.
//!
//! ```text
//! node + lease + when we last saw either change --health--> conditions Unknown
//! conditions, spec.unschedulable --taints--> NoSchedule taints
//! readiness of all nodes of a zone --zones--> how fast the zone's nodes may be tainted NoExecute
//! NoExecute taints + tolerations --eviction--> pods to delete, now or later
//! ```
