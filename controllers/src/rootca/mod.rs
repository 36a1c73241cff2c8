//! Every namespace has the ConfigMap `kube-root-ca.crt`, with which its pods trust the API server.
//!
//! ```text
//! the authority, namespace, its ConfigMap -> plan -> create, update, or nothing
//! ```

pub mod plan;
pub mod sync;
