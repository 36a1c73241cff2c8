//! CertificateSigningRequests: those of kubelets are approved, old ones are deleted.
//!
//! ```text
//! request --approve--> what its user must be allowed -> SubjectAccessReview -> approval
//! request + now --clean--> whether it goes
//! ```
//!
//! Signing is not here yet: upstream's manager can do it beside ours.

pub mod approve;
pub mod clean;
pub mod request;
pub mod sync;
