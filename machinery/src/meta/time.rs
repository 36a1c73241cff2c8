//! The API's two times; how they are written is arithmetic's business.

use jiff::Timestamp;

pub use crate::arith::time::{MicroTime, Time};

impl Time {
    /// The wall clock now.
    pub fn now() -> Self {
        Time(Timestamp::now())
    }
}

impl MicroTime {
    /// The wall clock now.
    pub fn now() -> Self {
        MicroTime(Timestamp::now())
    }
}
