//! The objects that the scheduler watches, with just the fields that it reads.
//!
//! ```text
//! watch JSON -> Pod, Node, Namespace, ... (equal pod bodies shared) -> cache, queue
//! ```
//!
//! Quantities become integers here and strings that repeat are interned, so that nothing behind this module parses
//! text again. Pods of one workload have equal labels and specs: [`pod::PodBody`] is that part, held once for all of them.

pub mod node;
pub mod pod;
pub mod requests;
pub mod storage;
mod wire;
pub mod workload;

pub use node::Node;
pub use pod::{Pod, PodBody};
pub use requests::{Requests, ResourceName};
