//! Every node gets its own range of pod addresses, one of each family.
//!
//! ```text
//! flags --settings--> a pool a family, without the Services' ranges
//! nodes that hold ranges -> pools; a node without --plan--> the next free range of each pool -> spec.podCIDRs
//! ```

pub mod metrics;
pub mod plan;
pub mod pool;
pub mod settings;
pub mod sync;
