//! Tokens in Secrets of type `kubernetes.io/service-account-token`, for those who still ask for them.
//!
//! ```text
//! Secret + its service account --plan--> fill in token, CA, namespace | delete
//! service account that is gone -> its Secrets go
//! ```

pub mod plan;
pub mod sign;
pub mod sync;
