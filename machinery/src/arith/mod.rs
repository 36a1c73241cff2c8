//! The field's arithmetic, as pure functions of plain data: quantities, selectors, taints, node
//! affinity, hashes, names, times and back-off. Everything here gives the same answer as upstream
//! for the same input; nothing here reads a clock, a file or the network.

pub mod backoff;
pub mod duration;
pub mod fnv;
pub mod int_or_string;
pub mod names;
pub mod node_affinity;
pub mod quantity;
pub mod selector;
pub mod selector_text;
pub mod taint;
pub mod time;

pub use int_or_string::IntOrString;
pub use quantity::Quantity;
pub use selector::{LabelSelector, Selector};
pub use taint::{Taint, TaintEffect, Toleration};
