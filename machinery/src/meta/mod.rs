//! The metadata that every object carries, slim enough to keep by the hundred thousand.
//!
//! ```text
//! JSON of any object -> ObjectMeta (strings that repeat interned, managedFields skipped) -> ObjectKey
//! ```
//!
//! A component declares the fields it reads and nothing else:
//!
//! ```
//! use machinery::meta::{Object, ObjectMeta};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Node {
//!     metadata: ObjectMeta,
//!     #[serde(default)]
//!     spec: NodeSpec,
//! }
//! #[derive(Deserialize, Default)]
//! #[serde(rename_all = "camelCase", default)]
//! struct NodeSpec {
//!     unschedulable: bool,
//! }
//! impl Object for Node {
//!     fn meta(&self) -> &ObjectMeta {
//!         &self.metadata
//!     }
//! }
//!
//! let node: Node = serde_json::from_str(
//!     r#"{"metadata":{"name":"n1","managedFields":[{}]},"spec":{"unschedulable":true}}"#,
//! )?;
//! assert_eq!(node.meta().name, "n1");
//! assert!(node.spec.unschedulable);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod istr;
mod key;
mod map;
mod object;
mod reference;
mod resource;
pub mod resources;
mod time;

pub use istr::Istr;
pub use key::ObjectKey;
pub use map::{Annotations, Labels, SortedMap};
pub use object::{Cached, ListMeta, Object, ObjectMeta, PartialObject, null_default};
pub use reference::{ObjectRef, OwnerRef};
pub use resource::Resource;
pub use time::{MicroTime, Time};
