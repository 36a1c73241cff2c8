//! Who asks, and may they: authentication and authorization of a component's own server.
//!
//! ```text
//! request -> authenticator (client certificate | bearer token by TokenReview | anonymous) -> Identity
//!         -> attributes of the request -> authorizer (SubjectAccessReview, cached) -> served or 401/403
//! ```

mod cache;
pub mod gate;
pub mod identity;
pub mod reviews;

pub use gate::{Attributes, Gate, GateConfig, Rejection};
pub use identity::Identity;
pub use reviews::{Reviews, TokenVerdict};
