//! Configuration: flags, `KubeletConfiguration` files and their drop-ins, merged and defaulted.

mod file;
mod span;

pub use file::*;
pub use span::Span;
