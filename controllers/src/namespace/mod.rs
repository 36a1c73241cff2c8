//! A namespace that is being deleted takes everything in it along: its pods first, since they may still need the rest (KEP-5080).
//!
//! ```text
//! discovery --targets--> what can be deleted, pods apart
//! what is left of each kind --plan--> status conditions, and: done | look again in a while | try again
//! ```

pub mod conditions;
pub mod content;
pub mod plan;
pub mod sync;
