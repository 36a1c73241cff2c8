//! Finished Jobs that say how long they may stay are deleted after that time.
//!
//! ```text
//! finished Jobs with a time to live -> cache -> queue -> sync: wait | ask the API server once more, delete
//! ```

pub mod plan;
pub mod sync;
