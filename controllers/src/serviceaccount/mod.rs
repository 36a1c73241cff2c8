//! Every namespace has the service account `default`.
//!
//! ```text
//! namespace, its service account -> plan -> create, or nothing
//! ```
//!
//! Tokens come from the API server's TokenRequest; secrets with tokens of their own are upstream's serviceaccount-token-controller's.

pub mod plan;
pub mod sync;
