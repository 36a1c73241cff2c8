//! Claims get volumes: those that were made by hand are bound here, others are asked of provisioners that run elsewhere.
//!
//! ```text
//! claim + volumes + classes --claim--> bind | wait (event) | lost | class to fill in | provisioner to ask
//! volume + its claim        --volume--> phase | unbind | reclaim | wake the claim
//! claims, volumes, classes -> cache -> queue -> sync (one worker, so that no two claims choose one volume)
//! ```

pub mod claim;
pub mod matching;
pub mod sync;
pub mod volume;
