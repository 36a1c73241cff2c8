//! Who owns what, and what we have written but not yet seen.
//!
//! ```text
//! owner + candidates  -> claim        -> own | adopt | release | ignore -> claiming, which does it
//! creates, deletes    -> expectations -> whether the cache shows them all
//! updates             -> consistency  -> whether the cache shows the newest
//! ```

mod claim;
mod claiming;
mod consistency;
mod expectations;
mod pods;

pub use claim::{Claim, Claimant, adoption_patch, claim, release_patch};
pub use claiming::Claiming;
pub use consistency::Consistency;
pub use expectations::{Expectations, TIMEOUT};
pub use pods::PodClaims;
