//! Every node gets its own range of pod addresses, one of each family.
//!
//! ```text
//! cluster ranges - service ranges - ranges that nodes hold --ranges--> spec.podCIDRs of a node that has none
//! ```
