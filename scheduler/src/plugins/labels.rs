//! Well-known label keys.

/// Every node's own domain.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The zone that a node is in.
pub const ZONE: &str = "topology.kubernetes.io/zone";
