//! PodDisruptionBudgets: how many pods may be evicted now.
//!
//! ```text
//! budget + its pods + scale of their owners --plan--> status ; when to look again
//! pod that was to be disrupted and was not  --stale--> condition taken back
//! budgets, pods -> cache -> queue -> sync
//! ```

pub mod plan;
pub mod scale;
pub mod sync;
