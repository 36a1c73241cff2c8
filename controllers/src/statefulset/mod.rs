//! StatefulSets keep pods that have names, and claims that stay with the names.
//!
//! ```text
//! name, ordinal                           -> identity: which pod is which, what its claims are called
//! StatefulSet + its pods + claims --plan--> stages of actions ; status
//! template of a revision + ordinal        -> pod body ; claim templates -> claim bodies
//! claim + retention policy                -> retention: who owns the claim
//! StatefulSets, pods, revisions -> cache -> queue -> sync: adopt, revisions, claim, plan, act, status
//! ```

pub mod act;
pub mod identity;
pub mod plan;
#[cfg(test)]
mod plan_tests;
pub mod pod;
pub mod retention;
pub mod revisions;
pub mod sync;
