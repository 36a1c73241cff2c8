//! Configuration: flags, `KubeletConfiguration` files and their drop-ins, merged and defaulted.

mod file;
mod flags;
mod load;
mod span;

pub use file::*;
pub use flags::PROGRAM;
pub use load::{Loaded, load};
pub use span::Span;
