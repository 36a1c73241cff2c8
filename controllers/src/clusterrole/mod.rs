//! ClusterRoles that are made up of others: `admin`, `edit`, `view` and those of users.
//!
//! ```text
//! role with an aggregation rule + all roles --plan--> its rules
//! ```

pub mod plan;
pub mod sync;
