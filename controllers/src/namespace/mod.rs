//! A namespace that is being deleted takes everything in it along.
//!
//! ```text
//! discovery --resources--> what can be deleted, in which order
//! what was deleted, what is left --plan--> status conditions; the finalizer, once nothing is left
//! ```
